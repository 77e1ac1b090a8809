// Page of `ganforge explore`. The whole state of a visitor is `scene`, which every request carries; the server keeps none.

const RANGE = 3; // standard deviations to both sides of a slider
const WALK_SECONDS = 2.5; // from one image of a walk, or from one pin, to the next
const MANY = 20; // sliders of a group from which they stand in columns
const SMALL = 128; // images with fewer pixels to a side are shown as sharp squares
const $ = (id) => document.getElementById(id);

let facts;
let scene;
let picture; // Blob of the image that is shown
let busy = false;
let waiting = null; // promise of the draw in progress
let controls = 0; // number of rows, for the ids of their inputs
let motion = null; // the button of the running walk or path
const pins = [];
const updates = []; // functions that show the scene in the controls

function element(tag, properties = {}, ...children) {
  const created = Object.assign(document.createElement(tag), properties);
  created.append(...children);
  return created;
}

async function request(path, body) {
  const options = body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("The server does not answer; ganforge explore may have ended.");
  }
  if (response.ok) return response;
  const text = await response.text();
  let problem = { error: text };
  try { problem = JSON.parse(text); } catch { /* plain text */ }
  throw new Error([problem.error, problem.fix].filter(Boolean).join(" → "));
}

function report(text, isError = false) {
  $("status").textContent = text;
  $("status").classList.toggle("error", isError);
  if (facts === undefined) $("description").textContent = text;
}

async function reporting(action) {
  try {
    return await action();
  } catch (error) {
    stop();
    report(error.message, true);
    return undefined;
  }
}

// Draw the present scene. Changes during a request are drawn together afterwards: one request at a time.
function draw() {
  busy = true;
  $("frame").ariaBusy = "true";
  waiting ??= (async () => {
    while (busy) {
      busy = false;
      await reporting(async () => {
        const begun = performance.now();
        const blob = await (await request("picture", scene)).blob();
        await show($("picture"), blob);
        picture = blob;
        const { naturalWidth: width, naturalHeight: height } = $("picture");
        $("picture").classList.toggle("large", Math.min(width, height) > SMALL);
        report(`${width}×${height} pixels in ${Math.round(performance.now() - begun)} ms`);
      });
    }
    waiting = null;
    $("frame").ariaBusy = "false";
  })();
  return waiting;
}

// An image takes the place of the previous one when it is decoded, so that no frame is empty in between.
async function show(previous, blob) {
  const image = previous.cloneNode();
  image.src = URL.createObjectURL(blob);
  await image.decode();
  previous.replaceWith(image);
  URL.revokeObjectURL(previous.src);
}

function update() {
  updates.forEach((function_) => function_());
}

function randomSeed() {
  return Math.floor(Math.random() * 2 ** 31);
}

function moveTo(start, end = null, t = 0) {
  Object.assign(scene, { start, end, t });
}

function clearSliders() {
  scene.amounts = {};
  scene.categories = {};
}

// Motion: a function is called with the seconds since its last call until another button stops it.
async function move(button, advance) {
  if (motion === button) return stop();
  stop();
  motion = button;
  button.setAttribute("aria-pressed", "true");
  for (let last = performance.now(); motion === button; ) {
    const now = await new Promise(requestAnimationFrame);
    advance(Math.min(0.25, Math.max(0, now - last) / 1000));
    last = now;
    update();
    await draw();
  }
  return undefined;
}

function stop() {
  motion?.setAttribute("aria-pressed", "false");
  motion = null;
}

function walk(seconds) {
  const t = scene.t + seconds / WALK_SECONDS;
  if (scene.end === null) moveTo(scene.start, { seed: randomSeed() });
  else if (t < 1) scene.t = t;
  else moveTo(scene.end, { seed: randomSeed() });
}

function alongPath(position) {
  const index = Math.min(Math.floor(position), pins.length - 2);
  const [from, to, t] = [pins[index], pins[index + 1], position - index];
  clearSliders();
  moveTo({ values: from.values }, { values: to.values }, t);
  scene.condition = Array.isArray(from.condition)
    ? from.condition.map((value, entry) => value + t * (to.condition[entry] - value))
    : (t < 0.5 ? from : to).condition;
}

function play() {
  let direction = 1;
  return (seconds) => {
    const slider = $("position");
    let position = Number(slider.value) + (direction * seconds) / WALK_SECONDS;
    if (position <= 0 || position >= pins.length - 1) direction = position <= 0 ? 1 : -1;
    position = Math.min(Math.max(position, 0), pins.length - 1);
    slider.value = position;
    alongPath(position);
  };
}

async function addPin() {
  await waiting;
  const state = structuredClone(scene);
  const point = await (await request("point", state)).json();
  pins.push({ values: point.values, condition: state.condition, picture });
  showPins();
}

function showPins() {
  $("pins").hidden = pins.length === 0;
  $("path").hidden = pins.length < 2;
  $("position").max = Math.max(1, pins.length - 1);
  $("pin-list").replaceChildren(...pins.map((pin, index) => {
    const image = element("img", { alt: "" });
    show(image, pin.picture);
    const use = element("button", { type: "button", ariaLabel: `Go to pin ${index + 1}` }, image);
    use.onclick = () => { stop(); clearSliders(); moveTo({ values: pin.values }); scene.condition = pin.condition; update(); draw(); };
    const remove = element("button", { type: "button", className: "remove", ariaLabel: `Remove pin ${index + 1}` }, "×");
    remove.onclick = () => { stop(); URL.revokeObjectURL(use.firstChild.src); pins.splice(index, 1); showPins(); };
    return element("li", {}, use, remove);
  }));
}

async function findNearest() {
  $("nearest").disabled = true;
  $("nearest").textContent = "Searching …";
  try {
    await waiting;
    const [image, blob] = [element("img", { alt: "Generated image of the search" }), picture];
    const found = await (await request("nearest", scene)).json();
    show(image, blob);
    $("neighbor-list").replaceChildren(element("li", {}, image, "generated"), ...found.map(({ index, distance, png }) => element(
      "li", {}, element("img", { alt: `Training image ${index}`, src: `data:image/png;base64,${png}` }),
      `${index.toLocaleString("en")} (${Number(distance.toPrecision(3))})`,
    )));
  } finally {
    $("nearest").disabled = false;
    $("nearest").textContent = "Find";
  }
}

function save(blob, name) {
  const link = element("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function fileName(suffix) {
  const place = scene.start.seed === undefined || scene.end !== null ? "latent" : `seed-${scene.start.seed}`;
  return `${facts.name}-${place}.${suffix}`;
}

// Controls: each shows a part of the scene and changes it.
function row(text, input, further) {
  controls += 1;
  input.id = `control-${controls}`;
  return element("div", { className: "row" }, element("label", { htmlFor: input.id }, text), input, ...(further ? [further] : []));
}

function slider(text, { min, max, step, show: shown = (value) => value.toFixed(2) }, get, set) {
  const input = element("input", { type: "range", min, max, step });
  const output = element("output");
  const line = row(text, input, output);
  line.classList.toggle("centered", min === -max);
  const display = () => { output.value = shown(get()); line.classList.toggle("moved", min === -max && get() !== 0); };
  const follow = () => { input.value = get(); display(); };
  input.oninput = () => { set(Number(input.value)); display(); draw(); };
  updates.push(follow);
  follow();
  return line;
}

function choice(text, names, get, set) {
  const input = element("select", {}, ...names.map((name, index) => element("option", { value: index }, name)));
  input.onchange = () => { set(Number(input.value)); update(); draw(); };
  updates.push(() => { input.value = get() ?? -1; });
  return row(text, input);
}

function group({ title, names, space }, isOpen) {
  const sliders = element("div", { className: names.length > MANY ? "sliders many" : "sliders" });
  const details = element("details", { open: isOpen }, element("summary", {}, title, element("span", {}, String(names.length))), sliders);
  const build = () => {
    if (!details.open || sliders.hasChildNodes()) return;
    const ends = { min: -RANGE, max: RANGE, step: 0.05 };
    sliders.append(...names.map((name) => slider(
      name, ends, () => scene.amounts[name] ?? 0, (value) => { if (value) scene.amounts[name] = value; else delete scene.amounts[name]; },
    )));
    const reset = element("button", { type: "button" }, "Reset");
    reset.onclick = () => { names.forEach((name) => delete scene.amounts[name]); update(); draw(); };
    sliders.append(element("div", { className: "buttons" }, reset));
  };
  details.addEventListener("toggle", build);
  build();
  // A pinned w has no z behind it.
  updates.push(() => { details.hidden = space !== facts.space && [scene.start, scene.end].some((base) => base?.values); });
  return details;
}

function conditionControls({ kind, names, values }) {
  if (kind === "classes") return [choice("Class", names, () => scene.condition, (value) => { scene.condition = value; })];
  if (kind !== "vector") return [];
  const isShare = values.every((value) => value >= 0 && value <= 1);
  const limit = isShare ? 1 : Math.max(RANGE, ...values.map((value) => 2 * Math.abs(value)));
  const ends = { min: isShare ? 0 : -limit, max: limit, step: limit / 100 };
  return names.map((name, entry) => slider(name, ends, () => scene.condition[entry], (value) => { scene.condition[entry] = value; }));
}

function samplingControl([name, property]) {
  const text = name.replaceAll("_", " ");
  const set = (value) => { scene.sampling[name] = value; };
  const get = () => scene.sampling[name];
  if (property.enum) return choice(text, property.enum.map(String), () => property.enum.indexOf(get()), (index) => set(property.enum[index]));
  if (property.type === "boolean") {
    const input = element("input", { type: "checkbox" });
    input.onchange = () => { set(input.checked); draw(); };
    updates.push(() => { input.checked = get(); });
    return row(text, input);
  }
  if (property.type !== "number" && property.type !== "integer") return "";
  const min = property.minimum ?? property.exclusiveMinimum ?? 0;
  const max = property.maximum ?? property.exclusiveMaximum ?? Math.max(1, 2 * get());
  return slider(text, { min, max, step: property.type === "integer" ? 1 : (max - min) / 100 }, get, set);
}

function buildControls() {
  const { steps, condition, categories, sampling } = facts;
  if (condition) $("basics").append(...conditionControls(condition));
  for (const [name, count] of Object.entries(categories)) {
    const names = ["as drawn", ...Array(count).keys()].map(String);
    $("basics").append(choice(name, names, () => (scene.categories[name] ?? -1) + 1, (index) => {
      if (index) scene.categories[name] = index - 1; else delete scene.categories[name];
    }));
  }
  $("basics").append(...Object.entries(sampling.properties).map(samplingControl));
  if (steps.length > 1) {
    const ends = { min: 0, max: steps.length - 1, step: 1, show: () => scene.step.toLocaleString("en") };
    $("basics").append(slider("Checkpoint", ends, () => steps.indexOf(scene.step), (index) => { scene.step = steps[index]; }));
  }
  $("groups").append(...facts.groups.map((part, index) => group(part, index === 0)));
  updates.push(() => { if (document.activeElement !== $("seed")) $("seed").value = scene.start.seed ?? ""; });
  $("seed").oninput = () => {
    if (!$("seed").checkValidity()) return report("The seed is a whole number from 0 to 9007199254740991.", true);
    stop();
    moveTo({ seed: Number($("seed").value) });
    update();
    return draw();
  };
  $("new").onclick = () => { stop(); moveTo({ seed: randomSeed() }); update(); draw(); };
  $("walk").onclick = () => move($("walk"), walk);
  $("play").onclick = () => move($("play"), play());
  $("position").oninput = () => { stop(); alongPath(Number($("position").value)); update(); draw(); };
  $("pin").onclick = () => reporting(addPin);
  $("nearest").onclick = () => reporting(findNearest);
  $("save").onclick = () => reporting(async () => { await waiting; save(picture, fileName("png")); });
  $("save-latent").onclick = () => reporting(async () => save(await (await request("latents", scene)).blob(), fileName("npz")));
  $("controls").onsubmit = (event) => event.preventDefault();
}

await reporting(async () => {
  facts = await (await request("facts")).json();
  const condition = { classes: 0, vector: facts.condition?.values }[facts.condition?.kind] ?? null;
  scene = { step: facts.step, start: { seed: facts.seed }, end: null, t: 0, amounts: {}, categories: {}, condition, sampling: facts.sampling.values };
  document.title = `${facts.name} · ganforge explore`;
  $("name").textContent = facts.name;
  $("description").textContent = `${facts.generator} after ${facts.step.toLocaleString("en")} steps`;
  buildControls();
  update();
  document.querySelector("main").hidden = false;
  await draw();
});
