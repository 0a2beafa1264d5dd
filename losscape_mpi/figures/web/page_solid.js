"use strict";
// What plotly draws in 3-D: the surface, lines on the floor, missing points, training paths.

const MAX_MARKS = 2000; // more marks of missing points on the floor become dots
const ROOM = 0.3; // between the floor and the lowest value, in heights of the surface

const floorOf = ({ limits: [low, high] }) => low - (isChecked("floor") ? ROOM * (high - low) : 0);

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
    return { ...dots([...points], Array.from(points, () => floorOf(scale)), marker), name, showlegend: true };
  });
  const center = file.center === null ? null : at(file.center);
  const mark = center === null ? { x: [], y: [], z: [] } : { x: [0], y: [0], z: [center] };
  return [
    data.isContoured ? surface() : tiles(), floorTrace(file, data.isContoured ? heights : null, scale), ...lost,
    ...solidPathTraces(file, column, scale, heights), { ...page.style.solidCenter, ...mark },
  ];
}
