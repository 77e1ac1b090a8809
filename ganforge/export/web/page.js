// Page of an exported generator: draws latents from a seed, runs the model, and shows the images.
import * as ort from "./onnxruntime/ort.mjs";

const GAP = 2;
const element = (id) => document.getElementById(id);

/** Return a function that returns uniform numbers in [0, 1): mulberry32. */
function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let value = Math.imul(state ^ (state >>> 15), state | 1);
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61);
    return ((value ^ (value >>> 14)) >>> 0) / 4294967296;
  };
}

/** Return the latents of a seed, count × size numbers. */
function latents(seed, count, { name, size }) {
  const uniform = random(seed);
  const draw =
    name === "uniform"
      ? () => 2 * uniform() - 1
      : () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  return Float32Array.from({ length: count * size }, draw);
}

/** Return the latents between two seeds; a mixture of normal numbers has the variance of both. */
function mix(one, other, share, { name }) {
  const length = name === "uniform" ? 1 : Math.hypot(1 - share, share);
  return one.map((value, index) => ((1 - share) * value + share * other[index]) / length);
}

/** Return the model's inputs for the state of the controls. */
function inputs(facts, state) {
  const { count, seed, walk, condition } = state;
  const first = latents(seed, count, facts.latent);
  const values = walk === 0 ? first : mix(first, latents(seed + 1, count, facts.latent), walk, facts.latent);
  const feeds = { z: new ort.Tensor("float32", values, [count, facts.latent.size]) };
  if (facts.condition?.kind === "classes") {
    const classes = Array.from({ length: count }, (_, index) =>
      BigInt(condition === "" ? index % facts.condition.num_classes : Number(condition)),
    );
    feeds.condition = new ort.Tensor("int64", BigInt64Array.from(classes), [count]);
  } else if (facts.condition) {
    const repeated = Array.from({ length: count }, () => condition).flat();
    feeds.condition = new ort.Tensor("float32", Float32Array.from(repeated), [count, condition.length]);
  }
  return feeds;
}

/** Draw a square grid of images, count × channels × height × width numbers in [-1, 1]. */
function draw(canvas, images, count, [channels, height, width]) {
  const columns = Math.ceil(Math.sqrt(count));
  const rows = Math.ceil(count / columns);
  canvas.width = columns * (width + GAP) - GAP;
  canvas.height = rows * (height + GAP) - GAP;
  const context = canvas.getContext("2d");
  for (let index = 0; index < count; index++) {
    const picture = context.createImageData(width, height);
    for (let pixel = 0; pixel < height * width; pixel++) {
      for (let color = 0; color < 3; color++) {
        const channel = channels === 1 ? 0 : color;
        const value = images[(index * channels + channel) * height * width + pixel];
        picture.data[4 * pixel + color] = Math.round((value + 1) * 127.5);
      }
      picture.data[4 * pixel + 3] = 255;
    }
    context.putImageData(picture, (index % columns) * (width + GAP), Math.floor(index / columns) * (height + GAP));
  }
}

/** Add the control of the condition, and return a function that returns its value. */
function conditionControl(facts) {
  const place = element("condition");
  const { condition } = facts;
  if (!condition) {
    return () => null;
  }
  if (condition.kind === "classes") {
    const label = Object.assign(document.createElement("label"), { htmlFor: "class", textContent: "Class" });
    const select = Object.assign(document.createElement("select"), { id: "class" });
    select.append(new Option("in turn", ""));
    for (let index = 0; index < condition.num_classes; index++) {
      select.append(new Option(condition.names[index] ?? `class ${index}`, index));
    }
    place.append(label, select);
    return () => select.value;
  }
  const sliders = Array.from({ length: condition.shape[0] }, (_, index) => {
    const slider = Object.assign(document.createElement("input"), { type: "range", id: `value-${index}` });
    Object.assign(slider, { min: -1, max: 1, step: 0.01, value: 0 });
    const name = condition.names[index] ?? `value ${index}`;
    place.append(Object.assign(document.createElement("label"), { htmlFor: slider.id, textContent: name }), slider);
    return slider;
  });
  return () => sliders.map((slider) => Number(slider.value));
}

async function start() {
  const facts = await (await fetch("facts.json")).json();
  document.title = element("title").textContent = facts.title;
  element("facts").textContent = `Generator ${facts.generator}, step ${facts.step}, made with ganforge.`;
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = { wasm: new URL("onnxruntime/ort.wasm", import.meta.url).href };
  const session = await ort.InferenceSession.create("generator.onnx", { executionProviders: ["wasm"] });
  const condition = conditionControl(facts);

  let running = false;
  let waiting = false;
  async function update() {
    waiting = true;
    if (running) {
      return;
    }
    running = true;
    while (waiting) {
      waiting = false;
      const seed = element("seed");
      if (!seed.checkValidity()) {
        element("status").textContent = `The seed is a whole number from 0 to ${seed.max}.`;
        continue;
      }
      const count = Number(element("count").value);
      const state = { seed: Number(seed.value), walk: Number(element("walk").value) / 100, count, condition: condition() };
      const begin = performance.now();
      const { images } = await session.run(inputs(facts, state));
      draw(element("picture"), images.data, count, facts.image);
      const noun = count === 1 ? "image" : "images";
      element("status").textContent = `${count} ${noun} of seed ${state.seed} in ${Math.round(performance.now() - begin)} ms`;
    }
    running = false;
  }

  element("controls").addEventListener("input", update);
  element("controls").addEventListener("submit", (event) => event.preventDefault());
  element("next").addEventListener("click", () => {
    element("seed").value = (Number(element("seed").value) + 1) % 4294967296;
    element("walk").value = 0;
    update();
  });
  element("save").addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = element("picture").toDataURL("image/png");
    link.download = `seed-${element("seed").value}.png`;
    link.click();
  });
  element("controls").hidden = false;
  await update();
}

start().catch((error) => {
  element("status").textContent = `The model cannot be run: ${error.message}`;
});
