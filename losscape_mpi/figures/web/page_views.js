"use strict";
// Views and points: what happens to one figure happens to all that are linked with it.

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
  if (plot !== file.cut) plot.on("plotly_hover", ({ points: [point] }) => readSoon(point.x, file.isLine ? 0 : point.y));
  listenToFingers(file, plot);
  plot.addEventListener("keydown", (event) => moveByKey(event, file, plot));
}

async function follow(file, plot, change) {
  if (turns) return; // the page's own opening turn
  if (leader === plot) missed = [file, plot, change];
  if (leader) return;
  const { xaxis, yaxis } = plot.layout, isZoom = Object.keys(change).some((key) => /^[xy]axis/.test(key));
  rememberSoon();
  if (change["scene.camera"]) await turn(file, change["scene.camera"], plot);
  else if (plot === file.map && isZoom) await zoom(file, [xaxis.range, yaxis.range], plot);
}

async function turn(file, camera, source) {
  rememberSoon();
  for (const other of partners(file)) other.camera = structuredClone(camera);
  const change = () => ({ "scene.camera": structuredClone(camera) });
  await relayout(partners(file).map((other) => other.solid), source, change);
}

async function zoom(file, ranges, source) {
  rememberSoon();
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
  stopTurn();
  for (const file of files) Object.assign(file, { camera: null, ranges: null });
  return draw();
}

function moveByKey(event, file, plot) {
  const arrow = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
  const factor = { "+": 0.8, "=": 0.8, "-": 1.25 }[event.key];
  if (event.key === "0") resetViews();
  else if (!arrow && !factor) return;
  else if (plot === file.solid) turn(file, turned(cameraOf(file, plot), arrow ?? [0, 0], factor ?? 1), null);
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
