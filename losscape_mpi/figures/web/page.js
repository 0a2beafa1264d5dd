"use strict";
// The page itself. The controls hold the state; every figure is a function of it and of the file.

const MAX_FILES = 12; // a browser draws no more than 16 WebGL figures at once
const CONFIG = { responsive: true, displayModeBar: false, doubleClick: false, scrollZoom: false };
const byId = (id) => document.getElementById(id);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const isChecked = (id) => byId(id).checked;
const isNarrow = () => matchMedia("(max-width: 800px)").matches;
const isVisible = (plot) => plot.offsetParent !== null;
const shownFiles = () => files.filter((file) => !file.section.hidden);
const columnNow = () => page.columns.find((c) => c.metric === byId("metric").value && c.split === byId("split").value);
let page, files, isDrawing = false, isStale = false;

// --- reading -------------------------------------------------------------------------------------

async function inflate(text) {
  const packed = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}

function run(code) {
  const script = document.createElement("script");
  script.textContent = code;
  document.head.append(script);
}

// Puts arrays in the place of their references, anywhere in what the file says.
function unpack(value, buffer) {
  if (value === null || typeof value !== "object") return value;
  const kinds = { f8: Float64Array, u1: Uint8Array, u4: Uint32Array };
  if (value.array) return new kinds[value.array](buffer, value.at, value.size);
  for (const key of Object.keys(value)) value[key] = unpack(value[key], buffer);
  return value;
}

async function start() {
  run(new TextDecoder().decode(await inflate(byId("plotly").textContent)));
  page = unpack(JSON.parse(byId("surfaces").textContent), await inflate(byId("numbers").textContent));
  files = page.files.map((file, number) => {
    const section = document.querySelector(`[data-file="${number}"]`);
    const [solid, map, cut] = all(".plot", section);
    section.classList.toggle("is-line", file.isLine);
    const probe = placeOf(file, file.center ?? 0);
    const view = { camera: null, ranges: null, step: null, timer: null };
    return { ...file, section, solid, map, cut, probe, ...view };
  });
  fillControls();
  listenToLink();
  files.forEach(listenToProbe);
  await draw();
  byId("message").hidden = true;
  openingTurn();
  poll();
}

// --- drawing -------------------------------------------------------------------------------------

// A profile shows all splits of a metric, so that one scale holds for them.
function scaleNow(column) {
  const same = page.columns.filter((c) => c === column || (c.metric === column.metric && files.some((f) => f.isLine)));
  const low = Math.min(...same.map((c) => c.low)), top = Math.max(...same.map((c) => c.top));
  const kind = byId("scale").value === "linear" ? "linear" : low > 0 ? "log" : "symlog";
  const whole = makeScale(kind, { ...column, low, top }, Infinity), [bottom, high] = whole.limits;
  const at = Number(byId("clip").value) / Number(byId("clip").max);
  const clip = at === 1 ? Infinity : rounded(whole.inverse(bottom + at * (high - bottom)), low);
  return makeScale(kind, { ...column, low, top }, clip);
}

// While one picture is drawn, any number of wishes become one more picture.
async function draw() {
  isStale = true;
  if (isDrawing) return;
  isDrawing = true;
  try {
    while (isStale) {
      isStale = false;
      await new Promise((resume) => setTimeout(resume)); // lets the browser show the controls
      await drawOnce();
    }
  } finally {
    isDrawing = false;
  }
}

async function drawOnce() {
  const column = columnNow(), scale = scaleNow(column);
  const view = document.querySelector("input[name=view]:checked").value;
  document.body.dataset.view = view;
  byId("morph").hidden = view !== "morph";
  byId("files").className = shownFiles().length > 1 ? "several" : files.length > 1 ? "" : "single";
  showScale(column, scale);
  for (const file of shownFiles()) await drawFile(file, column, scale);
  await drawMorph();
  rememberSoon();
  const words = [byId("bar-label").textContent, ...shownFiles().map((file) => file.map.ariaLabel)];
  byId("announcement").textContent = words.join(". ");
  document.body.dataset.drawn = 1 + Number(document.body.dataset.drawn ?? 0);
}

async function drawFile(file, column, scale) {
  const words = file.columns[column.name]?.text ?? `${file.name} has no ${column.label}.`;
  file.section.querySelector(".description").textContent = words;
  file.section.classList.toggle("is-empty", !file.columns[column.name]?.hasValues);
  file.solid.ariaLabel = `3-D surface of ${file.name}. ${words}`;
  file.cut.ariaLabel = `Cuts of ${file.name} along α and β through the point that is read`;
  file.map.ariaLabel = `${file.isLine ? "Profile" : "Map"} of ${file.name}. ${words}`;
  if (!file.columns[column.name]?.hasValues) return;
  file.texts = file.isLine ? [] : grid(file, (k) => pointText(file, column, k));
  drawPanels(file, column, scale); // first: they take room from the figures
  for (const plot of [file.solid, file.map].filter(isVisible)) {
    const { data, layout } = figureOf(file, plot, column, scale);
    await Plotly.react(plot, data, layout, CONFIG);
    listenToPlot(file, plot);
  }
  showProbe(file);
}

function figureOf(file, plot, column, scale) {
  const flat = file.isLine ? [profileTraces, profileLayout] : [mapTraces, mapLayout];
  const [traces, frame] = plot === file.solid ? [solidTraces, solidLayout] : flat;
  return { data: traces(file, column, scale), layout: frame(file, column, scale) };
}

function showScale(column, scale) {
  const [low, high] = scale.limits, isClipped = scale.high < scale.top;
  byId("clip-value").textContent = byId("clip").ariaValueText = isClipped ? short(scale.high) : "all shown";
  byId("bar").hidden = files.every((file) => file.isLine);
  byId("bar-label").textContent = column.label + (scale.note ? ` (${scale.note})` : "");
  byId("bar-colors").style.background = `linear-gradient(to right, ${page.colorscale.map((stop) => stop[1]).join()})`;
  const ticks = levels(scale, 10).map((value) => {
    const tick = document.createElement("span");
    tick.textContent = short(value);
    tick.style.left = `${(100 * (scale.forward(value) - low)) / (high - low)}%`;
    return tick;
  });
  byId("bar-ticks").replaceChildren(...ticks);
}

start().catch((error) => {
  byId("message").textContent = `The figures cannot be drawn: ${error.message}. A browser of 2023 or later is needed.`;
  throw error;
});
