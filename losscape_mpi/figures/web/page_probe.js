"use strict";
// One point of the grid, read by pointer or by keys.

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
  rememberSoon();
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
      rememberSoon();
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
  if (file.isLine) return;
  showMarks(file);
  drawCut(file, column, scaleNow(column));
}

// Marks of the map are shapes: they cost no new drawing of the values.
function showMarks(file) {
  if (file.map.layout && isVisible(file.map)) Plotly.relayout(file.map, { shapes: [...pointMarks(file), ...stepMarks(file)] });
}

// A ring of a size in pixels at the point that is read, and the lines of the cuts through it.
function pointMarks(file) {
  if (!file.isRead) return [];
  const [x, y] = [file.alpha[file.probe[0]], file.beta[file.probe[1]]];
  const [alpha, beta] = page.style.cuts.map(({ line }) => ({ color: line.color, width: 1.5, dash: "dot" }));
  const whole = { type: "line", layer: "above" };
  return [
    { ...whole, xref: "x domain", x0: 0, x1: 1, y0: y, y1: y, line: alpha },
    { ...whole, yref: "y domain", y0: 0, y1: 1, x0: x, x1: x, line: beta },
    ...rings(x, y, 7),
  ];
}

function rings(x, y, size, fill) {
  const box = { xsizemode: "pixel", ysizemode: "pixel", xanchor: x, yanchor: y, x0: -size, x1: size, y0: -size, y1: size };
  return [["white", 4], ["black", 2]].map(([color, width]) => ({
    ...box, type: "circle", line: { color, width }, ...(fill ? { fillcolor: fill } : {}),
  }));
}
