"use strict";
// Contour lines: on the map, with labels, and on the floor under the surface.

const NUM_LINES = 12;
const LINE_DENSITY = 0.5; // pieces of contour lines for each cell; a chaotic surface gets fewer levels

// Round levels and the pieces of their lines; a chaotic surface gets fewer levels.
function levelLines(file, heights, scale) {
  let shown = levels(scale, NUM_LINES).filter((v) => v > scale.low && v < scale.high);
  let lines = isolines(file, heights, shown.map(scale.forward));
  const most = 3000 + LINE_DENSITY * heights.flat().length;
  while (shown.length > 1 && lines.flat().length > most) {
    [shown, lines] = [shown, lines].map((list) => list.filter((_, k) => k % 2));
  }
  return [shown, lines];
}

function lineTraces(file, heights, scale) {
  const [shown, lines] = levelLines(file, heights, scale);
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

// The lines of the map once more, on the floor under the surface.
function floorTrace(file, heights, scale) {
  const [shown, lines] = isChecked("floor") && heights ? levelLines(file, heights, scale) : [[], []];
  const ends = lines.map((some) => chained(some).flatMap((line) => [...line, [null, null]]));
  const [x, y] = [0, 1].map((c) => ends.flat().map((end) => end[c]));
  const color = ends.flatMap((some, k) => some.map(() => scale.forward(shown[k])));
  const line = { ...page.style.floorLines.line, color, ...colored(scale) };
  return { ...page.style.floorLines, x, y, z: x.map((v) => (v === null ? null : floorOf(scale))), line };
}

// Pieces [a, b] put together to lines [a, b, c, …]: what is drawn piece by piece looks dashed in 3-D.
function chained(pieces) {
  const key = ([x, y]) => `${x.toPrecision(9)},${y.toPrecision(9)}`, at = new Map(), left = new Set(pieces);
  for (const piece of pieces) for (const end of piece) at.set(key(end), [...(at.get(key(end)) ?? []), piece]);
  const grow = (line) => {
    for (let next; (next = at.get(key(line.at(-1))).find((piece) => left.has(piece))); left.delete(next)) {
      line.push(key(next[0]) === key(line.at(-1)) ? next[1] : next[0]);
    }
    return line;
  };
  return pieces.flatMap((piece) => (left.delete(piece) ? [grow(grow([...piece]).reverse())] : []));
}
