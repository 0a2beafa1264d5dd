"use strict";
// What plotly draws of maps and profiles. Axis 0 of a file is alpha (x), axis 1 is beta (y); plotly's rows are beta.

const FINE = 300; // colours along an axis of a map: coarser grids are divided, linearly, cell by cell
const STATUS = ["not computed", "done", "done, not finite", "failed"];
const CLEAR = [[0, "rgba(0,0,0,0)"], [1, "rgba(0,0,0,0)"]];

const grid = (file, value) =>
  Array.from(file.beta, (_, j) => Array.from(file.alpha, (_, i) => value(i * file.beta.length + j)));
const placeOf = (file, k) => [Math.floor(k / file.beta.length), k % file.beta.length];
const colored = (scale) => ({ colorscale: page.colorscale, cmin: scale.limits[0], cmax: scale.limits[1] });

// What a point of the file says, in lines.
function pointWords(file, column, k) {
  const [i, j] = placeOf(file, k), { values, stderr } = file.columns[column.name], status = file.status[k];
  const words = [`${file.letters.alpha} = ${said(file.alpha[i])}`];
  if (file.checkpoints.length) words.unshift(`checkpoint ${file.checkpoints[k]}`);
  if (!file.isLine || file.along === "beta") words.push(`β = ${said(file.beta[j])}`);
  if (status === 1 || status === 2) {
    words.push(`${column.label} = ${said(values[k])}`);
    words.push(stderr ? `standard error = ${said(stderr[k])}` : "no standard error in the file");
  }
  return [...words, `status: ${STATUS[status]}`];
}

const pointText = (file, column, k) => pointWords(file, column, k).map(plain).join("<br>");

function mapTraces(file, column, scale) {
  const data = file.columns[column.name], heights = grid(file, (k) => scale.forwardOrGap(data.values[k]));
  const cells = { x: file.edges.alpha, y: file.edges.beta, z: heights };
  const shown = data.isContoured ? shades(file, heights) : cells;
  const values = { type: "heatmap", name: "values", zmin: scale.limits[0], zmax: scale.limits[1], hoverinfo: "skip" };
  const hover = { type: "heatmap", name: "points", colorscale: CLEAR, showscale: false, hoverinfo: "text" };
  return [
    { ...values, ...shown, colorscale: page.colorscale, showscale: false },
    ...(data.isContoured ? lineTraces(file, heights, scale) : []),
    ...data.missing.map((lost) => ({ ...page.style.hatch[lost.reason], ...lost, hoverinfo: "skip" })),
    ...pathTraces(file, column, scale),
    { ...page.style.center, x: file.hasCenter ? [0] : [], y: file.hasCenter ? [0] : [] },
    { ...hover, ...cells, z: heights.map((row) => row.map(() => 0)), text: file.texts },
  ];
}

// Each cell in equal parts, coloured between its four points; a cell with a missing point stays empty.
function shades(file, heights) {
  const [n, m] = [file.alpha.length, file.beta.length];
  const [p, q] = [n, m].map((num) => Math.max(1, Math.round(FINE / (num - 1))));
  const z = Array.from({ length: (m - 1) * q }, () => new Array((n - 1) * p).fill(null));
  for (let i = 0; i < n - 1; i++) for (let j = 0; j < m - 1; j++) {
    const [a, b, c, d] = [heights[j][i], heights[j][i + 1], heights[j + 1][i], heights[j + 1][i + 1]];
    if ([a, b, c, d].includes(null)) continue;
    for (let s = 0; s < q; s++) for (let r = 0; r < p; r++) {
      const u = (r + 0.5) / p, v = (s + 0.5) / q;
      z[j * q + s][i * p + r] = (a * (1 - u) + b * u) * (1 - v) + (c * (1 - u) + d * u) * v;
    }
  }
  return { x: divided(file.alpha, p), y: divided(file.beta, q), z };
}

function divided(axis, parts) {
  const part = (k, p) => axis[k] + (p / parts) * (axis[k + 1] - axis[k]);
  const cells = Array.from(axis.slice(1), (_, k) => Array.from({ length: parts }, (_, p) => part(k, p)));
  return [...cells.flat(), axis.at(-1)];
}

function profileTraces(file, column, scale) {
  const axis = file[file.along], own = page.columns.filter((c) => c.metric === column.metric && file.columns[c.name]);
  const curves = own.flatMap((c, number) => {
    const { values, stderr } = file.columns[c.name], style = page.style.curves[number % page.style.curves.length];
    const curve = { ...style.curve, name: c.label, x: [...axis], y: Array.from(values, scale.height) };
    const text = Array.from(axis, (_, k) => pointText(file, c, k));
    return [...(stderr ? bands(axis, values, stderr, scale, style.band) : []), { ...curve, text }];
  });
  const lost = gaps(file, column).map(([reason, points]) => ({
    ...page.style.gap, marker: page.style.gapMarks[reason], name: `${reason} (${points.length})`,
    x: points.map((k) => axis[k]), y: points.map(() => scale.limits[0]),
    text: points.map((k) => pointText(file, column, k)),
  }));
  return [...curves, ...lost, ...pathTraces(file, column, scale)];
}

// The missing points of all splits that a profile shows: [reason, indices] each.
function gaps(file, column) {
  const found = {};
  for (const c of page.columns.filter((other) => other.metric === column.metric)) {
    for (const { reason, points } of file.columns[c.name]?.missing ?? []) {
      found[reason] = [...(found[reason] ?? []), ...points];
    }
  }
  return Object.entries(found).map(([reason, points]) => [reason, [...new Set(points)]]);
}

// ± 2 standard errors: one band for each run of points without a gap.
function bands(axis, values, stderr, scale, style) {
  const found = [];
  let run = [];
  const side = (sign) => run.map((k) => scale.forward(values[k] + 2 * sign * stderr[k]));
  for (let k = 0; k <= values.length; k++) {
    if (k < values.length && Number.isFinite(values[k]) && Number.isFinite(stderr[k])) { run.push(k); continue; }
    const x = run.map((at) => axis[at]), y = [...side(1), ...side(-1).toReversed()];
    if (run.length > 1) found.push({ ...style, x: [...x, ...x.toReversed()], y });
    run = [];
  }
  return found;
}
