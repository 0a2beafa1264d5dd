"use strict";
// One surface that turns into another one of the same grid. Only its two ends are measured.

const bothOf = () => ["from", "to"].map((end) => files[Number(byId(`morph-${end}`).value)]);
const sameAxis = (a, b) => a.length === b.length && a.every((value, k) => value === b[k]);

function fillMorph() {
  const planes = files.flatMap((file, k) => (file.isLine ? [] : [[k, file.name]]));
  for (const end of ["from", "to"]) fill(byId(`morph-${end}`), Object.fromEntries(planes));
  if (planes.length > 1) byId("morph-to").value = String(planes[1][0]);
  document.querySelector("input[value=morph]").parentElement.hidden = planes.length < 2;
  for (const id of ["morph-from", "morph-to"]) byId(id).addEventListener("change", draw);
  byId("morph-part").addEventListener("input", soon(() => { drawMorph(); rememberSoon(); }));
}

// Why two files cannot be mixed; empty where they can.
function whyNotMixed(a, b, column) {
  const grid = ({ name, alpha, beta }) =>
    `${name} has ${alpha.length} × ${beta.length} points, α ${short(alpha[0])}…${short(alpha.at(-1))}, β ${short(beta[0])}…${short(beta.at(-1))}`;
  if (!sameAxis(a.alpha, b.alpha) || !sameAxis(a.beta, b.beta)) return `The grids differ: ${grid(a)}; ${grid(b)}. A morph needs the same points.`;
  const lacking = [a, b].find((file) => !file.columns[column.name]?.hasValues);
  return lacking ? `${lacking.name} has no ${column.label}.` : "";
}

async function drawMorph() {
  const plot = document.querySelector("#morph .plot");
  if (!isVisible(byId("morph"))) return;
  const [a, b] = bothOf(), column = columnNow(), scale = scaleNow(column), part = Number(byId("morph-part").value) / 100;
  const reason = whyNotMixed(a, b, column);
  const words = part === 0 ? a.name : part === 1 ? b.name : `${Math.round(100 * part)} % of the way: heights drawn between the two, not measured`;
  byId("morph-words").textContent = byId("morph-part").ariaValueText = reason || words;
  plot.hidden = Boolean(reason);
  byId("morph-part").disabled = Boolean(reason);
  if (reason) return;
  const z = mixed(a, b, column, scale, part);
  plot.ariaLabel = `3-D surface between ${a.name} and ${b.name}: ${words}`;
  const surface = { ...page.style.surface, ...colored(scale), x: [...a.alpha], y: [...a.beta], z, hoverinfo: "none" };
  const { layout } = figureOf(a, a.solid, column, scale);
  const camera = plot.layout?.scene?.camera ?? cameraOf(a, plot);
  layout.scene = { ...layout.scene, camera: structuredClone(camera), aspectratio: boxOf(plot) };
  await Plotly.react(plot, [surface, floorTrace(a, z, scale)], layout, CONFIG);
  listenToFingers({ ...a, solid: plot }, plot);
}

// Heights as drawn, mixed; a point that one file lacks stays empty, but at the end of the other.
function mixed(a, b, column, scale, part) {
  const [first, last] = [a, b].map((file) => grid(file, (k) => scale.height(file.columns[column.name].values[k])));
  if (part === 0 || part === 1) return part ? last : first;
  return first.map((row, j) => row.map((h, i) => (h === null || last[j][i] === null ? null : (1 - part) * h + part * last[j][i])));
}
