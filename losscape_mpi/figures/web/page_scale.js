"use strict";
// Numbers as words, and how values become heights and colours: as figures/scale.py does it.

const minus = (text) => text.replace(/-/g, "−");

// Plotly reads tags in every text it draws.
const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

function short(value) {
  const size = Math.abs(value);
  if (size === 0 || (size >= 1e-3 && size < 1e4)) return minus(String(Number(value.toPrecision(4))));
  const [mantissa, exponent] = value.toExponential(2).split("e");
  const factor = { "1.00": "", "-1.00": "-" }[mantissa] ?? `${Number(mantissa)}×`;
  const digits = [...String(Number(exponent))].map((c) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(c)]);
  return minus(`${factor}10`) + digits.join("");
}

// The shortest digits that give the file's float64 again.
function exact(value) {
  return Number.isFinite(value) ? String(value) : String(value).replace("Infinity", "inf");
}

// A number for a person: five digits that count, or all of them where they are asked for.
function said(value) {
  return isChecked("digits") || !Number.isFinite(value) ? exact(value) : minus(String(Number(value.toPrecision(5))));
}

function transforms(kind, low, threshold) {
  return {
    linear: [(v) => v, (h) => h],
    log: [(v) => Math.log10(Math.max(v, low / 1000)), (h) => 10 ** h],
    symlog: [
      (v) => Math.sign(v) * Math.log10(1 + Math.abs(v) / threshold),
      (h) => Math.sign(h) * threshold * (10 ** Math.abs(h) - 1),
    ],
  }[kind];
}

function makeScale(kind, { low, top, threshold }, clip) {
  const high = Math.min(clip, top);
  const [forward, inverse] = transforms(kind, low, threshold);
  const pad = forward(high) > forward(low) ? 0 : 0.5;
  const limits = [forward(low) - pad, forward(high) + pad];
  const forwardOrGap = (v) => (Number.isFinite(v) ? forward(v) : null);
  const height = (v) => (Number.isFinite(v) ? forward(Math.min(Math.max(v, low), high)) : null);
  const notes = {
    linear: [], log: ["log scale"], symlog: [`symmetric log scale, linear within ±${short(threshold)}`],
  }[kind];
  if (high < top) notes.push(`clipped at ${short(high)}`);
  return { kind, low, high, top, threshold, forward, inverse, limits, height, forwardOrGap, note: notes.join(", ") };
}

// A value of the clip slider as few digits, relative to the distance from the lowest value.
function rounded(value, low) {
  const unit = 10 ** (Math.floor(Math.log10(value - low)) - 1);
  return Number((Math.round(value / unit) * unit).toPrecision(12));
}

// At most about so many round values between the limits.
function levels(scale, most) {
  const { low, high, kind } = scale;
  if (low === high) return [low];
  const isLinear = kind === "linear" || (kind === "log" && high < 10 * low);
  return (isLinear ? linearLevels : logLevels)(scale, most).filter((v) => v >= low && v <= high);
}

function linearLevels({ low, high }, most) {
  const unit = 10 ** Math.floor(Math.log10((high - low) / most));
  const step = unit * [1, 2, 2.5, 5, 10].find((factor) => (high - low) / (factor * unit) <= most);
  const first = Math.ceil(low / step - 1e-9), last = Math.floor(high / step + 1e-9);
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, k) => Number(((first + k) * step).toPrecision(12)));
}

function logLevels({ kind, low, high, threshold }, most) {
  const first = Math.floor(Math.log10(kind === "log" ? low : threshold));
  const last = Math.ceil(Math.log10(Math.max(Math.abs(low), Math.abs(high))));
  const choices = [[[1, 1.5, 2, 3, 5, 7], 1], [[1, 2, 5], 1], [[1, 3], 1]];
  for (let step = 1; step <= last - first + 1; step++) choices.push([[1], step]);
  let found = [];
  for (const [factors, step] of choices) {
    found = [];
    for (let d = Math.floor(first / step) * step; d <= last; d += step) found.push(...factors.map((f) => f * 10 ** d));
    if (kind === "symlog") found = [...found.map((v) => -v).reverse(), 0, ...found];
    if (found.filter((v) => v >= low && v <= high).length <= most) break;
  }
  return found;
}

function axisTicks(scale, most) {
  const ticks = levels(scale, most), [low, high] = scale.limits, room = 0.01 * (high - low);
  return { range: [low - room, high + room], tickvals: ticks.map(scale.forward), ticktext: ticks.map(short) };
}
