"use strict";
// The address holds camera and settings, so that a copy of it shows the same. One row, one key of it:
//   read   what the page shows, as text
//   take   shows it; false or an error where the text is none that the page could have written

const round = (value) => Number(value.toPrecision(6));
const listed = (text, num) => {
  const numbers = text.split(",").map(Number);
  return numbers.length === num && numbers.every((v) => Number.isFinite(v) && Math.abs(v) < 1e12) ? numbers : null;
};

const chosen = (id) => ({ read: () => byId(id).value, take: (text) => choose(byId(id), text) });
const ticked = (id) => ({ read: () => String(Number(isChecked(id))), take: (text) => { byId(id).checked = text === "1"; } });
const slid = (id) => ({ read: () => byId(id).value, take: (text) => { if (listed(text, 1)) byId(id).value = text; } });

const LINK = {
  metric: { read: () => byId("metric").value, take: (text) => choose(byId("metric"), text) && chooseColumn("metric") },
  split: { read: () => byId("split").value, take: (text) => choose(byId("split"), text) && chooseColumn("split") },
  scale: { read: () => byId("scale").value, take: (text) => choose(byId("scale"), text) && mark("scale") && placeClip() },
  clip: { read: () => byId("clip").value, take: (text) => { if (listed(text, 1)) { byId("clip").value = text; mark("clip"); } } },
  view: { read: () => document.querySelector("input[name=view]:checked").value, take: takeView },
  theme: { read: () => document.documentElement.dataset.theme ?? "", take: takeTheme },
  path: ticked("path"),
  floor: ticked("floor"),
  digits: ticked("digits"),
  linked: ticked("linked"),
  files: { read: () => files.flatMap((file, k) => (file.section.hidden ? [] : [k])).join(), take: takeFiles },
  camera: { read: () => perFile((file) => file.camera && [...Object.values(file.camera.eye), ...Object.values(file.camera.center)]), take: takeCamera },
  zoom: { read: () => perFile((file) => file.ranges?.flat()), take: takeZoom },
  point: { read: () => perFile((file) => file.isRead && [file.alpha[file.probe[0]], file.beta[file.probe[1]]]), take: takePoint },
  step: { read: () => perFile((file) => file.step !== null && [file.step]), take: takeStep },
  from: chosen("morph-from"),
  to: chosen("morph-to"),
  part: slid("morph-part"),
};
let usual; // what the page shows without an address of its own
let remembering = null;

const mark = (id) => { byId(id).dataset.chosen = "yes"; return true; };

function choose(select, text) {
  const isKnown = [...select.options].some((option) => option.value === text);
  if (isKnown) select.value = text;
  return isKnown;
}

// Numbers of each file, "-" where it has none; one for all where they are the same.
function perFile(numbers) {
  const texts = files.map((file) => (numbers(file) || ["-"]).map((v) => (v === "-" ? v : round(v))).join());
  return new Set(texts).size === 1 ? texts[0] : texts.join("_");
}

function eachFile(text, num, show) {
  const parts = text.split("_");
  files.forEach((file, k) => show(file, listed((parts.length === 1 ? parts[0] : parts[k]) ?? "", num)));
}

const point3 = ([x, y, z]) => ({ x, y, z });
const isFarEnough = (n) => Math.hypot(n[0] - n[3], n[1] - n[4], n[2] - n[5]) > 0.05 && n.every((v) => Math.abs(v) < 100);

function takeCamera(text) {
  eachFile(text, 6, (file, n) => {
    const isSeen = n && isFarEnough(n);
    file.camera = isSeen ? { ...structuredClone(page.style.camera), eye: point3(n), center: point3(n.slice(3)) } : null;
  });
}

function takeZoom(text) {
  eachFile(text, 4, (file, n) => { file.ranges = n && n[0] < n[1] && n[2] < n[3] ? [n.slice(0, 2), n.slice(2)] : null; });
}

function takePoint(text) {
  eachFile(text, 2, (file, n) => {
    file.isRead = Boolean(n);
    if (n) file.probe = [nearest(file.alpha, n[0]), nearest(file.beta, n[1])];
  });
}

function takeStep(text) {
  eachFile(text, 1, (file, n) => { file.step = n && Number.isInteger(n[0]) && n[0] >= 0 && n[0] < stepsOf(file) - 1 ? n[0] : null; });
}

function takeView(text) {
  const input = all("input[name=view]").find((other) => other.value === text);
  if (input && !input.parentElement.hidden) input.checked = true;
}

function takeTheme(text) {
  if (["light", "dark"].includes(text)) document.documentElement.dataset.theme = text;
  else delete document.documentElement.dataset.theme;
  nameTheme();
}

function takeFiles(text) {
  const shown = text.split(",").map(Number).filter((k) => files[k]).slice(0, MAX_FILES);
  if (!shown.length) return;
  all("#choices input").forEach((input, k) => {
    input.checked = shown.includes(k);
    files[k].section.hidden = !input.checked;
  });
}

const stateNow = () => Object.fromEntries(Object.entries(LINK).map(([key, row]) => [key, row.read()]));

// Shows what the address says; what it does not say, or says wrongly, is as usual.
function followLink() {
  const told = { ...usual };
  for (const [key, text] of new URLSearchParams(location.hash.slice(1))) if (key in LINK) told[key] = text;
  for (const key of Object.keys(LINK)) {
    if (told[key] !== LINK[key].read()) LINK[key].take(told[key]);
  }
}

function listenToLink() {
  usual = stateNow();
  followLink();
  addEventListener("hashchange", () => { followLink(); draw(); });
}

function remember() {
  const unusual = Object.entries(stateNow()).filter(([key, text]) => text !== usual[key]);
  const words = unusual.map(([key, text]) => `${key}=${encodeURIComponent(text).replaceAll("%2C", ",")}`).join("&");
  if (location.hash.slice(1) !== words) history.replaceState(null, "", words ? `#${words}` : location.pathname + location.search);
}

// Not at each picture of a turn: browsers allow a hundred changes in half a minute.
function rememberSoon() {
  clearTimeout(remembering);
  remembering = setTimeout(remember, 400);
}
