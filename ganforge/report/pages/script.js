
"use strict";
// Values of a curve under the pointer, and pictures behind a slider. Text is inserted as text only.

function element(name, attributes = {}, text = "") {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.textContent = text;
  return node;
}

function format(value) {
  if (value === null) return "no value";
  if (Number.isInteger(value)) return value.toLocaleString("en");
  return Math.abs(value) >= 1e-3 && Math.abs(value) < 1e6 ? value.toLocaleString("en", { maximumSignificantDigits: 5 }) : value.toExponential(3);
}

// Index of the nearest value in a sorted list.
function nearest(list, value) {
  let low = 0, high = list.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (list[middle] < value) low = middle; else high = middle;
  }
  return value - list[low] <= list[high] - value ? low : high;
}

function hover(figure) {
  const data = JSON.parse(figure.querySelector("script").textContent);
  const area = figure.querySelector(".area"), title = figure.querySelector("h3").textContent;
  const places = [...new Set(data.series.flatMap(line => line.x))].sort((a, b) => a - b);
  const [low, high] = data.x;
  const svg = area.querySelector("svg"), height = svg.height.baseVal.value - 36;
  const make = name => svg.appendChild(document.createElementNS("http://www.w3.org/2000/svg", name));
  const cursor = make("line");
  cursor.setAttribute("class", "cursor");
  cursor.setAttribute("y1", 8);
  cursor.setAttribute("y2", height + 8);
  const marks = data.series.map((line, index) => {
    const mark = make("circle");
    mark.setAttribute("r", 4.5);
    mark.setAttribute("class", "mark c" + index % 6);
    return mark;
  });
  const readout = element("div", { class: "readout", "aria-hidden": "true" });
  const pointer = element("input", { class: "pointer", type: "range", min: 0, max: places.length - 1, step: 1, "aria-label": title + ": value at" });
  area.append(readout, pointer);

  function hide() {
    for (const part of [cursor, readout, ...marks]) part.style.display = "none";
  }

  function show(position) {
    const x = places[position], share = (x - low) / (high - low);
    pointer.value = position;
    for (const end of ["x1", "x2"]) cursor.setAttribute(end, share * 100 + "%");
    cursor.style.display = readout.style.display = "";
    const labels = [data.label + " " + format(x)];
    readout.replaceChildren(element("b", {}, labels[0]));
    data.series.forEach((line, index) => {
      const mark = marks[index], at = line.x.length ? nearest(line.x, x) : -1, value = at < 0 ? null : line.y[at];
      mark.style.display = value === null ? "none" : "";
      if (at < 0) return;
      const text = format(value) + (line.x[at] === x ? "" : " (at " + format(line.x[at]) + ")");
      const row = element("span");
      row.append(element("span", {}, line.name), element("b", {}, text));
      readout.append(row);
      labels.push(line.name + " " + text);
      if (value === null) return;
      mark.setAttribute("cx", (line.x[at] - low) / (high - low) * 100 + "%");
      mark.setAttribute("cy", 8 + height * (1 - (value - data.y[0]) / (data.y[1] - data.y[0])));
    });
    readout.style.left = share < .5 ? "calc(" + share * 100 + "% + 12px)" : "auto";
    readout.style.right = share < .5 ? "auto" : "calc(" + (1 - share) * 100 + "% + 12px)";
    pointer.setAttribute("aria-valuetext", labels.join(", "));
  }

  const follow = event => {
    const box = area.getBoundingClientRect();
    show(nearest(places, low + (event.clientX - box.left) / box.width * (high - low)));
  };
  pointer.addEventListener("pointermove", follow);
  pointer.addEventListener("pointerdown", follow);
  pointer.addEventListener("input", () => show(Number(pointer.value)));
  pointer.addEventListener("focus", () => show(Number(pointer.value)));
  pointer.addEventListener("blur", hide);
  pointer.addEventListener("pointerleave", () => { if (document.activeElement !== pointer) hide(); });
  pointer.setAttribute("aria-valuetext", data.label + " " + format(places[places.length - 1]));
  pointer.value = places.length - 1;
  hide();
}

function throughTime(figure) {
  const source = figure.querySelector("script");
  if (!source) return;
  const steps = JSON.parse(source.textContent), name = figure.dataset.name;
  const image = figure.querySelector("img"), output = figure.querySelector("output"), caption = figure.querySelector("figcaption");
  const slider = element("input", { type: "range", min: 0, max: steps.length - 1, step: 1, "aria-label": name + " over the steps" });
  const button = element("button", { type: "button" }, "Play");
  let timer = null;

  function show(index) {
    const [label, uri] = steps[index];
    slider.value = index;
    image.src = uri;
    image.alt = name + ", " + label;
    output.textContent = label;
    slider.setAttribute("aria-valuetext", label);
  }

  function stop() {
    clearInterval(timer);
    timer = null;
    button.textContent = "Play";
  }

  slider.addEventListener("input", () => { stop(); show(Number(slider.value)); });
  button.addEventListener("click", () => {
    if (timer !== null) return stop();
    let index = Number(slider.value) === steps.length - 1 ? 0 : Number(slider.value);
    button.textContent = "Pause";
    show(index);
    timer = setInterval(() => {
      index += 1;
      show(index);
      if (index === steps.length - 1) stop();
    }, Math.max(80, 4000 / steps.length));
  });
  caption.prepend(button, slider);
  show(steps.length - 1);
}

// Debiased exponential moving average, as in chart.py.
function smoothed(values, weight) {
  let average = 0, correction = 0;
  return values.map(value => {
    if (value === null) return null;
    average = weight * average + (1 - weight) * value;
    correction = weight * correction + (1 - weight);
    return average / correction;
  });
}

// Draw the smoothed lines of a chart for a weight.
function smoothLines(figure, weight) {
  const paths = figure.querySelectorAll("path.trend");
  if (!paths.length) return;
  const data = JSON.parse(figure.querySelector("script").textContent);
  const lines = data.series.filter(line => "trend" in line).map(line => line.trend || line);
  const box = paths[0].ownerSVGElement.viewBox.baseVal;
  paths.forEach((path, index) => {
    const { x, y } = lines[index];
    let pen = "M";
    path.setAttribute("d", smoothed(y, weight).map((value, at) => {
      if (value === null) { pen = "M"; return ""; }
      const left = (x[at] - data.x[0]) / (data.x[1] - data.x[0]) * box.width;
      const top = (1 - (value - data.y[0]) / (data.y[1] - data.y[0])) * box.height;
      const piece = pen + left.toFixed(1) + "," + top.toFixed(1);
      pen = "L";
      return piece;
    }).join(""));
  });
}

// One weight for all charts, whichever slider sets it.
function smoothing(lines) {
  const figures = document.querySelectorAll("figure.chart");
  const sliders = [...lines].map(line => {
    const slider = element("input", { type: "range", min: 0, max: .99, step: .01, "aria-label": "Smoothing" });
    slider.value = line.querySelector("output").textContent;
    slider.addEventListener("input", () => {
      figures.forEach(figure => smoothLines(figure, Number(slider.value)));
      lines.forEach(other => { other.querySelector("output").textContent = Number(slider.value); });
      sliders.forEach(other => { other.value = slider.value; });
    });
    line.prepend(slider);
    return slider;
  });
}

// Only boxes that scroll take the focus; without the script all of them do.
const scrolling = new ResizeObserver(entries => {
  for (const { target } of entries) target.tabIndex = target.scrollWidth > target.clientWidth || target.scrollHeight > target.clientHeight ? 0 : -1;
});

document.querySelectorAll(".scroll, pre").forEach(part => scrolling.observe(part));
document.querySelectorAll("figure.chart").forEach(hover);
smoothing(document.querySelectorAll(".smoothing"));
document.querySelectorAll("figure.through-time").forEach(throughTime);
