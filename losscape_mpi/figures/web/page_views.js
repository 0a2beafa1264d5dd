"use strict";
// Views and points: what happens to one figure happens to all that are linked with it.

const STEP = Math.PI / 18; // an arrow key turns a surface by 10 degrees
let leader = null; // while figures follow another one, their own events are echoes
let missed = null; // what the leader did meanwhile

const isAlike = (a, b) => a.isLine === b.isLine && a.letters.alpha === b.letters.alpha;
const partners = (file) =>
  isChecked("linked") ? shownFiles().filter((other) => isAlike(other, file)) : [file];

function listenToPlot(file, plot) {
  if (plot.dataset.heard) return;
  plot.dataset.heard = "yes";
  for (const event of ["plotly_relayouting", "plotly_relayout"]) plot.on(event, (change) => follow(file, plot, change));
  plot.on("plotly_doubleclick", resetViews);
  plot.on("plotly_hover", ({ points: [point] }) => readSoon(point.x, file.isLine ? 0 : point.y));
  plot.addEventListener("keydown", (event) => moveByKey(event, file, plot));
}

async function follow(file, plot, change) {
  if (leader === plot) missed = [file, plot, change];
  if (leader) return;
  const { xaxis, yaxis } = plot.layout, isZoom = Object.keys(change).some((key) => /^[xy]axis/.test(key));
  if (change["scene.camera"]) await turn(file, change["scene.camera"], plot);
  else if (plot === file.map && isZoom) await zoom(file, [xaxis.range, yaxis.range], plot);
}

async function turn(file, camera, source) {
  for (const other of partners(file)) other.camera = structuredClone(camera);
  const change = () => ({ "scene.camera": structuredClone(camera) });
  await relayout(partners(file).map((other) => other.solid), source, change);
}

async function zoom(file, ranges, source) {
  for (const other of partners(file)) other.ranges = ranges.map((range) => range.slice());
  const change = { "xaxis.range": ranges[0].slice(), ...(file.isLine ? {} : { "yaxis.range": ranges[1].slice() }) };
  await relayout(partners(file).map((other) => other.map), source, () => structuredClone(change));
}

async function relayout(plots, source, change) {
  leader = source ?? "keys";
  for (const plot of plots.filter((other) => other !== source && other.layout && isVisible(other))) {
    await Plotly.relayout(plot, change());
  }
  const again = missed;
  leader = missed = null;
  if (again) await follow(...again);
}

function resetViews() {
  for (const file of files) Object.assign(file, { camera: firstCamera(), ranges: null });
  return draw();
}

// A narrow figure needs a camera further away.
function firstCamera() {
  const camera = structuredClone(page.style.camera), far = isNarrow() ? 1.2 : 1;
  for (const axis of Object.keys(camera.eye)) camera.eye[axis] *= far;
  return camera;
}

function moveByKey(event, file, plot) {
  const arrow = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
  const factor = { "+": 0.8, "=": 0.8, "-": 1.25 }[event.key];
  if (event.key === "0") resetViews();
  else if (!arrow && !factor) return;
  else if (plot === file.solid) turn(file, turned(file.camera, arrow ?? [0, 0], factor ?? 1), null);
  else {
    const { xaxis, yaxis } = plot.layout;
    zoom(file, [xaxis, yaxis].map(({ range }, k) => moved(range, arrow?.[k] ?? 0, factor ?? 1)), null);
  }
  event.preventDefault();
}

function moved([low, high], steps, factor) {
  const middle = (low + high) / 2 + (steps * (high - low)) / 10, half = (factor * (high - low)) / 2;
  return [middle - half, middle + half];
}

function turned(camera, [right, up], factor) {
  const { x, y, z } = camera.eye, far = factor * Math.hypot(x, y, z);
  const azimuth = Math.atan2(y, x) + right * STEP;
  const height = Math.max(-1.5, Math.min(1.5, Math.asin(z / Math.hypot(x, y, z)) + up * STEP));
  const flat = far * Math.cos(height);
  const eye = { x: flat * Math.cos(azimuth), y: flat * Math.sin(azimuth), z: far * Math.sin(height) };
  return { ...structuredClone(camera), eye };
}

// --- one point of the grid, read by pointer or by keys ---------------------------------------------

// Calls once for each picture that the screen shows, with the latest arguments.
function soon(action) {
  let latest = null;
  return (...words) => {
    if (latest === null) requestAnimationFrame(() => { const now = latest; latest = null; action(...now); });
    latest = words;
  };
}

const nearest = (axis, value) =>
  axis.reduce((best, v, k) => (Math.abs(v - value) < Math.abs(axis[best] - value) ? k : best), 0);

const readSoon = soon((alpha, beta) => readAt(alpha, beta));

function readAt(alpha, beta) {
  for (const file of shownFiles()) {
    file.isRead = true;
    const isTurned = file.along === "beta";
    file.probe = [nearest(file.alpha, isTurned ? 0 : alpha), nearest(file.beta, isTurned ? alpha : beta)];
    showProbe(file);
  }
}

function listenToProbe(file) {
  const inputs = all(".probe input", file.section), axes = [file.alpha, file.beta];
  inputs.forEach((input, k) => {
    Object.assign(input, { max: axes[k].length - 1, value: file.probe[k] });
    input.parentElement.hidden = axes[k].length === 1;
    input.addEventListener("input", () => {
      file.isRead = true;
      file.probe = inputs.map((other) => Number(other.value));
      showProbe(file);
    });
  });
  file.section.querySelector(".probe").hidden = false;
}

function showProbe(file) {
  const column = columnNow(), data = file.columns[column.name];
  if (!data) return;
  const [i, j] = file.probe, k = i * file.beta.length + j, words = pointWords(file, column, k).join("   ");
  file.section.querySelector(".readout").textContent = words;
  all(".probe input", file.section).forEach((input, axis) => {
    Object.assign(input, { value: file.probe[axis], ariaValueText: words });
  });
  const isRinged = file.isRead && !file.isLine && file.map.layout && isVisible(file.map);
  if (isRinged) Plotly.relayout(file.map, { shapes: ringAt(file) });
}

// A ring on the map, of a size in pixels: a shape, as it costs no new drawing of the values.
function ringAt(file) {
  const [x, y] = [file.alpha[file.probe[0]], file.beta[file.probe[1]]];
  const size = { xsizemode: "pixel", ysizemode: "pixel", xanchor: x, yanchor: y, x0: -7, x1: 7, y0: -7, y1: 7 };
  const rings = [["white", 4], ["black", 2]];
  return rings.map(([color, width]) => ({ ...size, type: "circle", line: { color, width } }));
}
