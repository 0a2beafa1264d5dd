"use strict";
// What the controls offer, and what they do.

function fill(select, words) {
  select.replaceChildren(...Object.entries(words).map(([value, text]) => new Option(text, value)));
}

function fillControls() {
  const named = (key) => Object.fromEntries(page.columns.map((c) => [c[key], c[`${key}Label`]]));
  fill(byId("metric"), named("metric"));
  fill(byId("split"), named("split"));
  byId("path-choice").hidden = files.every((file) => !file.trajectories.length);
  chooseScale();
  for (const id of ["metric", "split"]) byId(id).addEventListener("change", () => chooseColumn(id));
  for (const id of ["scale", "clip"]) byId(id).addEventListener("input", () => { byId(id).dataset.chosen = "yes"; });
  byId("scale").addEventListener("change", () => { placeClip(); draw(); });
  byId("clip").addEventListener("input", soon(() => draw()));
  for (const id of ["path", "floor", "digits"]) byId(id).addEventListener("change", draw);
  byId("linked").addEventListener("change", rememberSoon);
  byId("fold").addEventListener("click", foldSettings);
  document.addEventListener("pointerdown", closeMore);
  byId("more").addEventListener("keydown", ({ key }) => { if (key === "Escape") byId("more").open = false; });
  byId("reset").addEventListener("click", resetViews);
  byId("theme").addEventListener("click", switchTheme);
  for (const input of all("#views input")) input.addEventListener("change", draw);
  for (const input of all("#choices input")) input.addEventListener("change", () => chooseFiles(input));
  for (const button of all(".save")) button.addEventListener("click", () => save(button.closest("figure")));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { nameTheme(); draw(); });
  matchMedia("(max-width: 800px)").addEventListener("change", chooseView);
  addEventListener("resize", soon(refit));
  fillMorph();
  nameTheme();
  chooseView();
  byId("views").hidden = files.every((file) => file.isLine);
  byId("controls").hidden = false;
}

// Not every split has every metric: the other choice gives way.
function chooseColumn(changed) {
  if (!columnNow()) {
    const other = changed === "metric" ? "split" : "metric";
    byId(other).value = page.columns.find((c) => c[changed] === byId(changed).value)[other];
  }
  chooseScale();
  draw();
}

function chooseScale() {
  const column = columnNow();
  fill(byId("scale"), { linear: "linear", log: column.low > 0 ? "log" : "symmetric log" });
  byId("scale").value = column.kind === "linear" ? "linear" : "log";
  delete byId("scale").dataset.chosen;
  placeClip();
}

// New numbers change what is best by default, never what was chosen.
function renewScale() {
  if (byId("clip").dataset.chosen) return;
  if (byId("scale").dataset.chosen) placeClip();
  else chooseScale();
}

// A linear scale begins where the static figures clip it; a logarithmic one shows all.
function placeClip() {
  const clip = byId("clip"), column = columnNow(), isLinear = byId("scale").value === "linear";
  const share = isLinear && column.top > column.low ? (column.clip - column.low) / (column.top - column.low) : 1;
  clip.value = Math.round(share * Number(clip.max));
  delete clip.dataset.chosen;
}

function chooseFiles(input) {
  if (all("#choices input:checked").length > MAX_FILES) input.checked = false;
  files[Number(input.value)].section.hidden = !input.checked;
  draw();
}

function chooseView() {
  const now = document.querySelector("input[name=view]:checked").value;
  if (isNarrow() ? now === "both" : now !== "both" && now !== "morph") {
    document.querySelector(`input[name=view][value=${isNarrow() ? "solid" : "both"}]`).checked = true;
  }
  if (document.body.dataset.drawn) draw();
}

// On a narrow screen the settings fold away below the figures.
function foldSettings() {
  const isOpen = byId("controls").classList.toggle("is-open");
  byId("fold").ariaExpanded = isOpen;
  byId("fold").textContent = isOpen ? "Close" : "Settings";
}

function closeMore({ target }) {
  if (!byId("more").contains(target) && !isNarrow()) byId("more").open = false;
}

const isDark = () => getComputedStyle(document.documentElement).colorScheme === "dark";
const nameTheme = () => {
  byId("theme").textContent = isDark() ? "Light" : "Dark";
  byId("theme").ariaLabel = `${byId("theme").textContent} theme`;
};

function switchTheme() {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  nameTheme();
  draw();
}

// The picture says what it shows: title and colour bar stand outside the figure on the page.
async function save(figure) {
  const plot = figure.querySelector(".plot"), file = files[Number(figure.closest("section").dataset.file)];
  const column = columnNow(), scale = scaleNow(column), label = plain(byId("bar-label").textContent);
  const bar = { title: { text: label, side: "right" }, ...axisTicks(scale, 10), tickmode: "array" };
  const title = { text: `${plain(file.name)}: ${label}`, subtitle: { text: plain(file.title) } };
  const { data, layout } = figureOf(file, plot, column, scale);
  for (const trace of data.filter(({ name }) => name === "values")) {
    Object.assign(trace.marker ?? trace, { showscale: true, colorbar: bar });
  }
  Object.assign(layout, { title, margin: { ...layout.margin, t: 90, b: 70 } });
  const filename = [file.stem, column.split, column.metric, figure.classList[0]].join("_");
  await Plotly.downloadImage({ data, layout }, { format: "png", width: 1000, height: 800, scale: 2, filename });
}
