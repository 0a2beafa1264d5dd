"use strict";
// Training paths on the figures. A file's step is the checkpoint up to which they are drawn; null draws all.

const LIFT = { path: 0.008, ball: 0.03 }; // above the surface, in heights: on it, the two flicker

const stepsOf = (file) => Math.max(0, ...file.trajectories.map((path) => path.text.length));
const reached = (path, step) => path.text.slice(0, step === null ? undefined : step + 1).length;

// The words of a checkpoint; each line after the first ends with a number.
const spoken = (text) =>
  text.split("<br>").map((line) => line.replace(/ = (-?\d[\d.]*(?:e[+-]?\d+)?)$/, (_, number) => ` = ${said(Number(number))}`)).join("<br>");

function pathLook(path, number, style) {
  const look = { ...page.style[style], name: `${plain(path.name)} (white: in the plane)` };
  return { ...look, marker: { ...look.marker, symbol: page.style.pathSymbols[number % 4] } };
}

// A path's heights: of its points on the plane where the file has them, else of the surface there.
function pathHeights(file, column, scale, path, heights) {
  const own = path.planeValues[column.name] ?? [];
  return path.text.map((_, t) => {
    const known = scale.height(own[t] ?? NaN);
    return known ?? (heights && heightAt(file, heights, path.alpha[t], path.beta[t])) ?? scale.limits[0];
  });
}

// Between the points of the grid as the surface is drawn; null outside and at a missing point.
function heightAt(file, heights, alpha, beta) {
  const cell = (axis, value) => axis.findLastIndex((v, k) => v <= value && k < axis.length - 1);
  const i = cell(file.alpha, alpha), j = cell(file.beta, beta);
  if (i < 0 || j < 0 || alpha > file.alpha.at(-1) || beta > file.beta.at(-1)) return null;
  const u = (alpha - file.alpha[i]) / (file.alpha[i + 1] - file.alpha[i]);
  const v = (beta - file.beta[j]) / (file.beta[j + 1] - file.beta[j]);
  const [a, b, c, d] = [heights[j][i], heights[j][i + 1], heights[j + 1][i], heights[j + 1][i + 1]];
  return [a, b, c, d].includes(null) ? null : (a * (1 - u) + b * u) * (1 - v) + (c * (1 - u) + d * u) * v;
}

function pathTraces(file, column, scale) {
  if (!isChecked("path")) return [];
  return file.trajectories.map((path, number) => {
    const look = pathLook(path, number, "path");
    const y = file.isLine ? pathHeights(file, column, scale, path) : path.beta;
    return { ...look, marker: { ...look.marker, color: path.residual }, text: path.text.map(spoken), x: path.alpha, y };
  });
}

// Each path on the surface up to its step, with a ball at the end, and whole on the floor.
function solidPathTraces(file, column, scale, heights) {
  if (!isChecked("path")) return [];
  return file.trajectories.flatMap((path, number) => {
    const size = scale.limits[1] - scale.limits[0], num = reached(path, file.step);
    const z = pathHeights(file, column, scale, path, heights).map((height) => height + LIFT.path * size);
    const some = (list) => list.slice(0, num), look = pathLook(path, number, "solidPath"), text = path.text.map(spoken);
    const walked = {
      ...look, x: some(path.alpha), y: some(path.beta), z: some(z), text: some(text),
      marker: { ...look.marker, color: some(path.residual) },
    };
    const [x, y] = [path.alpha, path.beta].map((axis) => [axis[num - 1]]);
    const ball = { ...page.style.ball, x, y, z: [z[num - 1] + LIFT.ball * size], text: [text[num - 1]] };
    const shadow = { ...page.style.pathShadow, x: path.alpha, y: path.beta, z: z.map(() => floorOf(scale)) };
    return [walked, ball, ...(isChecked("floor") ? [shadow] : [])];
  });
}
