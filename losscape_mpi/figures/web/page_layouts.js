"use strict";
// Axes and frames of the figures.

const LETTER_PX = 6.7; // of a title
const FRAME_PX = 90; // ticks, titles and legend around a map

function colors() {
  const css = getComputedStyle(document.documentElement);
  return (name) => css.getPropertyValue(`--${name}`).trim();
}

// The words of an axis, or letter and length alone where a small map would cut them.
function titleOf(file, name) {
  const { width, height } = file.map.getBoundingClientRect();
  const isLong = file.labels[name].length * LETTER_PX > Math.min(width, height) - FRAME_PX;
  return (isLong ? file.shortLabels : file.labels)[name];
}

function mapLayout(file, column) {
  const color = colors(), range = file.ranges ?? file.columns[column.name].range;
  const axis = (name, k) => ({ ...page.style.mapAxis, title: { text: plain(titleOf(file, name)) }, range: range[k].slice() });
  const square = file.isSquare ? { scaleanchor: "x" } : {};
  return {
    ...page.style.map, paper_bgcolor: color("page"), plot_bgcolor: color("uncovered"), font: { color: color("ink") },
    shapes: [...pointMarks(file), ...stepMarks(file)],
    xaxis: axis("alpha", 0), yaxis: { ...axis("beta", 1), ...square },
  };
}

function profileLayout(file, column, scale) {
  const color = colors(), lines = { gridcolor: color("line"), zerolinecolor: color("faint") };
  const same = page.columns.filter((c) => c.metric === column.metric && c.bands[0] !== null);
  const [least, most] = scale.limits;
  const low = scale.kind === "linear" ? Math.min(...same.map((c) => c.bands[0])) : least;
  const high = scale.high < scale.top ? most : scale.forward(Math.max(scale.top, ...same.map((c) => c.bands[1])));
  const room = 0.04 * (high - low), borders = file.edges[file.along];
  const strips = gaps(file, column).flatMap(([reason, points]) => points.map((k) => ({
    type: "rect", layer: "below", x0: borders[k], x1: borders[k + 1], yref: "paper", y0: 0, y1: 1, line: { width: 0 },
    fillcolor: page.style.gapColors[reason], opacity: 0.35,
  })));
  const label = column.metric + (scale.note ? ` (${scale.note})` : "");
  return {
    ...page.style.map, paper_bgcolor: color("page"), plot_bgcolor: color("page"), font: { color: color("ink") },
    shapes: strips,
    xaxis: { ...lines, title: { text: plain(file.labels[file.along]) }, ...(file.ranges ? { range: file.ranges[0] } : {}) },
    yaxis: {
      ...lines, ...axisTicks(scale, 8), range: [low - room, high + room], zeroline: false, title: { text: plain(label) },
    },
  };
}

function solidLayout(file, column, scale) {
  const color = colors(), { range } = file.columns[column.name];
  const lines = { gridcolor: color("line"), zerolinecolor: color("line") };
  const axis = (text) => ({ ...page.style.solidAxis, ...lines, title: { text: plain(text) } });
  const ticks = axisTicks(scale, 7), floor = floorOf(scale);
  return {
    ...page.style.solid, paper_bgcolor: color("page"), font: { color: color("ink") },
    scene: {
      aspectmode: "manual",
      aspectratio: boxOf(file.solid),
      camera: structuredClone(cameraOf(file, file.solid)),
      xaxis: { ...axis(file.letters.alpha), range: range[0].slice() },
      yaxis: { ...axis(file.letters.beta), range: range[1].slice() },
      zaxis: { ...axis(shortTitle(column)), ...ticks, range: [Math.min(floor - 0.02 * (scale.limits[1] - floor), ticks.range[0]), ticks.range[1]] },
    },
  };
}
