"use strict";
// Plays a training path on the surface: play, pause, scrub. It steps from checkpoint to checkpoint.

const PLAY_S = 6; // a whole path
const STEP_MS = [90, 500]; // the shortest and the longest stay at a checkpoint
const CALM_STEP_MS = 1000; // for who wants less motion

const wantsCalm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

function hasSteps(file) {
  return isChecked("path") && stepsOf(file) > 1;
}

function buildPlayer(body, file) {
  body.className = "line";
  const button = document.createElement("button"), slider = document.createElement("input"), words = document.createElement("output");
  button.type = "button";
  Object.assign(slider, { type: "range", min: 0, step: 1, ariaLabel: `Checkpoint up to which the path is drawn, ${file.name}` });
  button.addEventListener("click", () => (file.timer ? pause(file) : play(file)));
  slider.addEventListener("input", () => {
    const step = Number(slider.value);
    pause(file); // puts the slider back
    showStep(file, step);
  });
  body.append(button, slider, words);
}

function drawPlayer(body, file) {
  const [button, slider, words] = body.children, last = stepsOf(file) - 1, step = file.step ?? last;
  button.textContent = file.timer ? "Pause" : "Play";
  button.ariaLabel = `${button.textContent} the training path of ${file.name}`;
  Object.assign(slider, { max: last, value: step });
  const now = file.trajectories.map((path) => decoded(spoken(path.text[Math.min(step, path.text.length - 1)])));
  words.textContent = now.map((lines) => [lines[0], ...lines.filter((line) => line.startsWith(`${columnNow().label} =`))].join("  ")).join("   ·   ");
  slider.ariaValueText = words.textContent;
}

// Lines of a text for plotly as they are.
function decoded(text) {
  return text.split("<br>").map((line) => new DOMParser().parseFromString(line, "text/html").documentElement.textContent);
}

function play(file) {
  const last = stepsOf(file) - 1, [least, most] = STEP_MS;
  const stay = wantsCalm() ? CALM_STEP_MS : Math.max(least, Math.min(most, (1000 * PLAY_S) / last));
  const next = async () => {
    const step = file.step === null || file.step >= last ? 0 : file.step + 1, began = performance.now();
    await showStep(file, step);
    if (step >= last) pause(file);
    else if (file.timer) file.timer = setTimeout(next, Math.max(0, stay - (performance.now() - began)));
  };
  file.timer = setTimeout(next);
  drawPlayer(file.section.querySelector(".player > div"), file);
}

function pause(file) {
  clearTimeout(file.timer);
  file.timer = null;
  drawPlayer(file.section.querySelector(".player > div"), file);
  rememberSoon();
}

async function showStep(file, step) {
  file.step = step >= stepsOf(file) - 1 ? null : step;
  drawPlayer(file.section.querySelector(".player > div"), file);
  showMarks(file);
  await showWalked(file);
}

// Only the walked part and the ball are drawn anew; surface and floor stay.
async function showWalked(file) {
  if (!file.solid.layout || !isVisible(file.solid)) return;
  const column = columnNow(), scale = scaleNow(column), { values } = file.columns[column.name];
  const traces = solidPathTraces(file, column, scale, grid(file, (k) => scale.height(values[k])));
  const first = file.solid.data.findIndex((trace) => trace.meta === "path");
  const each = (key) => traces.map((trace) => trace[key]);
  const change = { x: each("x"), y: each("y"), z: each("z"), text: each("text"), "marker.color": traces.map((t) => t.marker?.color) };
  await Plotly.restyle(file.solid, change, traces.map((_, k) => first + k));
}

// On the map the ball is a ring at the end of each path.
function stepMarks(file) {
  if (file.step === null || !hasSteps(file)) return [];
  return file.trajectories.flatMap((path) => {
    const last = Math.min(file.step, path.text.length - 1), places = path.text.slice(0, last + 1).map((_, t) => `${path.alpha[t]},${path.beta[t]}`);
    const walked = { type: "path", path: `M${places.join("L")}`, line: { color: page.style.ballColor, width: 3 } };
    return [...(last ? [walked] : []), ...rings(path.alpha[last], path.beta[last], 6, page.style.ballColor)];
  });
}
