"use strict";
// What plotly draws. Axis 0 of a file is alpha (x), axis 1 is beta (y); plotly's rows are beta.

const FINE = 300; // colours along an axis of a map: coarser grids are divided, linearly, cell by cell
const NUM_LINES = 12;
const LINE_DENSITY = 0.5; // pieces of contour lines for each cell; a chaotic surface gets fewer levels
const MAX_MARKS = 2000; // more marks of missing points on the floor become dots
const STATUS = ["not computed", "done", "done, not finite", "failed"];
const CLEAR = [[0, "rgba(0,0,0,0)"], [1, "rgba(0,0,0,0)"]];

const grid = (file, value) =>
  Array.from(file.beta, (_, j) => Array.from(file.alpha, (_, i) => value(i * file.beta.length + j)));
const placeOf = (file, k) => [Math.floor(k / file.beta.length), k % file.beta.length];
const colored = (scale) => ({ colorscale: page.colorscale, cmin: scale.limits[0], cmax: scale.limits[1] });

// What a point of the file says, in lines.
function pointWords(file, column, k) {
  const [i, j] = placeOf(file, k), { values, stderr } = file.columns[column.name], status = file.status[k];
  const words = [`${file.letters.alpha} = ${exact(file.alpha[i])}`];
  if (file.checkpoints.length) words.unshift(`checkpoint ${file.checkpoints[k]}`);
  if (!file.isLine || file.along === "beta") words.push(`β = ${exact(file.beta[j])}`);
  if (status === 1 || status === 2) {
    words.push(`${column.label} = ${exact(values[k])}`);
    words.push(stderr ? `standard error = ${exact(stderr[k])}` : "no standard error in the file");
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
    ...pathTraces(file, column, scale, "path"),
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

function lineTraces(file, heights, scale) {
  let shown = levels(scale, NUM_LINES).filter((v) => v > scale.low && v < scale.high);
  let lines = isolines(file, heights, shown.map(scale.forward));
  const most = 3000 + LINE_DENSITY * heights.flat().length;
  while (shown.length > 1 && lines.flat().length > most) {
    [shown, lines] = [shown, lines].map((list) => list.filter((_, k) => k % 2));
  }
  const isDark = (k) => scale.forward(shown[k]) < 0.6 * scale.limits[1] + 0.4 * scale.limits[0];
  const drawn = (style, some) => {
    const [x, y] = [0, 1].map((c) => some.flat().flatMap(([a, b]) => [a[c], b[c], null]));
    return { ...page.style[style], x, y };
  };
  const labels = labelPlaces(file, lines).map((place, k) => place && [...place, short(shown[k])]).filter(Boolean);
  const [x, y, text] = [0, 1, 2].map((c) => labels.map((label) => label[c]));
  return [
    drawn("brightLines", lines.filter((_, k) => isDark(k))), drawn("darkLines", lines.filter((_, k) => !isDark(k))),
    { ...page.style.lineLabels, x, y, text },
  ];
}

// Marching squares over complete cells: for each level its pieces [[x, y], [x, y]].
function isolines(file, heights, levelHeights) {
  const lines = levelHeights.map(() => []);
  const corner = (i, j) => [file.alpha[i], file.beta[j], heights[j][i]];
  for (let i = 0; i + 1 < file.alpha.length; i++) for (let j = 0; j + 1 < file.beta.length; j++) {
    const corners = [corner(i, j), corner(i + 1, j), corner(i + 1, j + 1), corner(i, j + 1)];
    const cell = corners.map((c) => c[2]);
    if (cell.includes(null)) continue;
    const low = Math.min(...cell), high = Math.max(...cell);
    levelHeights.forEach((level, k) => level > low && level <= high && lines[k].push(...pieces(corners, level)));
  }
  return lines;
}

function pieces(corners, level) {
  const cuts = [];
  corners.forEach(([x, y, h], k) => {
    const [x2, y2, h2] = corners[(k + 1) % 4], t = (level - h) / (h2 - h);
    if ((h < level) !== (h2 < level)) cuts.push([x + t * (x2 - x), y + t * (y2 - y)]);
  });
  const mean = corners.reduce((sum, c) => sum + c[2], 0) / 4; // decides a saddle
  if (cuts.length === 4 && (corners[0][2] < level) === (mean < level)) cuts.push(cuts.shift());
  return cuts.length === 4 ? [cuts.slice(0, 2), cuts.slice(2)] : [cuts];
}

// One label for each level, in turning directions from the middle, none upon another.
function labelPlaces(file, lines) {
  const axes = [file.alpha, file.beta].map((a) => ({ middle: (a[0] + a.at(-1)) / 2, span: Math.abs(a.at(-1) - a[0]) }));
  const placed = [];
  return lines.map((segments, k) => {
    let best = null, least = Infinity;
    for (const [a, b] of segments) {
      const [u, v] = axes.map(({ middle, span }, c) => ((a[c] + b[c]) / 2 - middle) / span);
      const turn = 1 - Math.cos(Math.atan2(v, u) - 2.4 * k);
      const isFree = placed.every((p) => Math.abs(p[0] - u) > 0.12 || Math.abs(p[1] - v) > 0.06);
      const isInside = Math.max(Math.abs(u), Math.abs(v)) < 0.45 && Math.hypot(u, v) > 0.05;
      if (turn < least && isFree && isInside) [best, least] = [[u, v], turn];
    }
    if (best) placed.push(best);
    return best && best.map((c, k) => c * axes[k].span + axes[k].middle);
  });
}

function solidTraces(file, column, scale) {
  const data = file.columns[column.name], heights = grid(file, (k) => scale.height(data.values[k]));
  const indices = [...file.status.keys()], at = (k) => heights[placeOf(file, k)[1]][placeOf(file, k)[0]];
  const dots = (points, z, marker) => ({
    type: "scatter3d", mode: "markers", marker, z, hoverinfo: "text",
    text: points.map((k) => pointText(file, column, k)),
    x: points.map((k) => file.alpha[placeOf(file, k)[0]]), y: points.map((k) => file.beta[placeOf(file, k)[1]]),
  });
  const surface = () => ({
    ...page.style.surface, ...colored(scale), x: [...file.alpha], y: [...file.beta], z: heights, text: file.texts,
  });
  const there = indices.filter((k) => at(k) !== null), z = there.map(at);
  const tile = { ...page.style.tiles, color: z, ...colored(scale) };
  const tiles = () => ({ ...dots(there, z, tile), name: "values", showlegend: false });
  const lost = data.missing.map(({ reason, name, points }) => {
    const marker = { ...page.style.floor[reason], ...(points.length > MAX_MARKS ? { size: 1.5 } : {}) };
    return { ...dots([...points], Array.from(points, () => scale.limits[0]), marker), name, showlegend: true };
  });
  const center = file.center === null ? null : at(file.center);
  const mark = center === null ? { x: [], y: [], z: [] } : { x: [0], y: [0], z: [center] };
  return [
    data.isContoured ? surface() : tiles(), ...lost, ...pathTraces(file, column, scale, "solidPath"),
    { ...page.style.solidCenter, ...mark },
  ];
}

function pathTraces(file, column, scale, style) {
  if (!isChecked("path")) return [];
  return file.trajectories.map((path, number) => {
    const own = path.planeValues[column.name] ?? [];
    const heights = path.text.map((_, t) => scale.height(own[t] ?? NaN) ?? scale.limits[0]);
    const place = style === "solidPath" ? { y: path.beta, z: heights } : { y: file.isLine ? heights : path.beta };
    const look = { ...page.style[style], name: `${plain(path.name)} (white: in the plane)`, text: path.text };
    const marker = { ...look.marker, color: path.residual, symbol: page.style.pathSymbols[number % 4] };
    return { ...look, marker, x: path.alpha, ...place };
  });
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
  return [...curves, ...lost, ...pathTraces(file, column, scale, "path")];
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
