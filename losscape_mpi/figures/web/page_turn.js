"use strict";
// A gentle turn when the page opens. It ends by itself, or at the first touch, key or wheel.

const TURN_S = 2.4;
const TURN_STEPS = 3; // it begins so many steps of a key to the side
let isTurning = false;
let turns = 0; // under way: one that was stopped still has its last picture to come

function stopTurn() {
  isTurning = false;
}

async function openingTurn() {
  const turning = shownFiles().filter((file) => !file.isLine && isVisible(file.solid) && file.camera === null);
  if (wantsCalm() || !turning.length) return;
  const home = turning.map((file) => firstCamera(file.solid)), began = performance.now();
  isTurning = true;
  turns += 1;
  for (const event of ["pointerdown", "touchstart", "wheel", "keydown"]) addEventListener(event, stopTurn, { once: true, capture: true, passive: true });
  try {
    for (let part = 0; isTurning && part < 1; ) {
      part = Math.min(1, (performance.now() - began) / (1000 * TURN_S));
      const aside = TURN_STEPS * (1 - part) ** 3;
      for (const [k, file] of turning.entries()) {
        if (!isVisible(file.solid) || !isTurning) break;
        await Plotly.relayout(file.solid, { "scene.camera": turned(home[k], [aside, 0], 1) });
      }
      await new Promise(requestAnimationFrame);
    }
  } finally {
    isTurning = false;
    turns -= 1;
  }
}
