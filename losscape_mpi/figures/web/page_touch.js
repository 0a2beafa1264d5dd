"use strict";
// Fingers on a figure. Plotly would take every touch and hold the page: it gets none. The browser
// scrolls with a finger that goes up or down (touch-action in page.css); what is left comes here.

const TURN_PX = 6; // pixels of a finger to a degree

function listenToFingers(file, plot) {
  if (plot.dataset.touched) return;
  plot.dataset.touched = "yes";
  const fingers = new Map();
  for (const event of ["touchstart", "touchmove", "touchend", "touchcancel"]) {
    plot.addEventListener(event, (touch) => {
      touch.stopPropagation();
      if (touch.touches.length > 1 && touch.cancelable) touch.preventDefault();
    }, { capture: true, passive: false });
  }
  plot.addEventListener("pointerdown", (finger) => { if (finger.pointerType === "touch") fingers.set(finger.pointerId, finger); }, true);
  for (const event of ["pointerup", "pointercancel"]) plot.addEventListener(event, (finger) => fingers.delete(finger.pointerId), true);
  plot.addEventListener("pointermove", (finger) => {
    if (!fingers.has(finger.pointerId)) return;
    const before = [...fingers.values()];
    fingers.set(finger.pointerId, finger);
    drag(file, plot, before, [...fingers.values()]);
  }, true);
}

// One finger turns; two zoom by their distance and tilt by their middle.
function drag(file, plot, before, after) {
  const middle = (list, axis) => list.reduce((sum, finger) => sum + finger[axis], 0) / list.length;
  const wide = ([a, b]) => (b ? Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY) : 1);
  const factor = after.length === 2 ? Math.max(0.8, Math.min(1.25, wide(before) / Math.max(1, wide(after)))) : 1;
  const [right, down] = ["clientX", "clientY"].map((axis) => (middle(after, axis) - middle(before, axis)) / TURN_PX / 10);
  if (!right && !down && factor === 1) return; // up and down belong to the browser
  if (plot.layout?.scene) turnByFinger(file, plot, [-3 * right, after.length === 2 ? 3 * down : 0], factor);
  else if (plot === file.map && factor !== 1) {
    zoom(file, [plot.layout.xaxis, plot.layout.yaxis].map(({ range }) => moved(range, 0, factor)), null);
  }
}

const turnByFinger = (file, plot, steps, factor) => {
  const camera = turned(plot.layout.scene.camera, steps, factor);
  plot.layout.scene.camera = camera; // the next move of the finger starts from here
  drawTurn(file, plot, camera);
};

const drawTurn = soon((file, plot, camera) => {
  if (plot === files.find((other) => other.section === file.section)?.solid) turn(file, camera, null);
  else Plotly.relayout(plot, { "scene.camera": camera });
});
