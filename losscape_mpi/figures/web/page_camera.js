"use strict";
// Where a surface is seen from: far enough that its box and the words around it fill the figure.

const STEP = Math.PI / 18; // an arrow key turns a surface by 10 degrees
const HALF_VIEW = Math.tan(Math.PI / 8); // plotly's camera sees 45 degrees from top to bottom
const WORDS = { side: 38, letter: 3.5, end: 34 }; // pixels around the box for ticks and titles
const TALL = [0.55, 1.15]; // the lowest and the highest box, in widths

const cameraOf = (file, plot) => file.camera ?? firstCamera(plot);

function firstCamera(plot) {
  const { width, height } = plot.getBoundingClientRect(), camera = structuredClone(page.style.camera);
  if (!width || !height) return camera;
  const eye = unit(camera.eye), right = unit({ x: -eye.y, y: eye.x, z: 0 });
  const up = { x: eye.y * right.z - eye.z * right.y, y: eye.z * right.x - eye.x * right.z, z: eye.x * right.y - eye.y * right.x };
  const side = WORDS.side + WORDS.letter * shortTitle(columnNow()).length;
  const room = { x: 1 - (2 * side) / width, y: 1 - (2 * WORDS.end) / height };
  let far = 2, lift = 0;
  for (let k = 0; k < 24; k++) { // each round moves and shrinks what the last one shows
    const seen = corners(plot).map(({ x, y, z }) => {
      const corner = { x, y, z: z - lift }, depth = (far - dot(corner, eye)) * HALF_VIEW;
      return [(dot(corner, right) / depth) * (height / width), dot(corner, up) / depth];
    });
    const [wide, tall] = [0, 1].map((c) => seen.map((place) => place[c]));
    const low = Math.min(...tall), high = Math.max(...tall);
    lift += (((low + high) / 2) * far * HALF_VIEW) / up.z;
    far *= Math.max(Math.max(...wide.map(Math.abs)) / room.x, (high - low) / 2 / room.y) ** 0.7;
  }
  const offset = scaled(eye, far);
  return { ...camera, center: { x: 0, y: 0, z: lift }, eye: { ...offset, z: offset.z + lift } };
}

const dot = (a, b) => a.x * b.x + a.y * b.y + a.z * b.z;
const scaled = (a, factor) => ({ x: factor * a.x, y: factor * a.y, z: factor * a.z });
const unit = (a) => scaled(a, 1 / Math.hypot(a.x, a.y, a.z));

const shortTitle = ({ metricLabel }) => (metricLabel.length > 18 ? `${metricLabel.slice(0, 17)}…` : metricLabel);

// A box as tall as the figure has room for.
function boxOf(plot) {
  const { width, height } = plot.getBoundingClientRect();
  return { x: 1, y: 1, z: width && height ? Math.max(TALL[0], Math.min(TALL[1], (0.95 * height) / width)) : 0.8 };
}

function corners(plot) {
  const { x, y, z } = boxOf(plot), ends = [-0.5, 0.5];
  return ends.flatMap((a) => ends.flatMap((b) => ends.map((c) => ({ x: a * x, y: b * y, z: c * z }))));
}

// A figure of another size is filled anew, unless somebody chose where to look from.
async function refit() {
  for (const file of shownFiles()) {
    if (file.camera === null && file.solid.layout && isVisible(file.solid)) {
      await Plotly.relayout(file.solid, { "scene.camera": firstCamera(file.solid), "scene.aspectratio": boxOf(file.solid) });
    }
  }
}

// A camera turned about what it looks at, by steps of a key; factor makes it nearer or farther.
function turned(camera, [right, up], factor) {
  const { eye, center } = camera, x = eye.x - center.x, y = eye.y - center.y, z = eye.z - center.z;
  const far = factor * Math.hypot(x, y, z), azimuth = Math.atan2(y, x) + right * STEP;
  const height = Math.max(-1.5, Math.min(1.5, Math.asin(z / Math.hypot(x, y, z)) + up * STEP));
  const flat = far * Math.cos(height);
  const offset = { x: flat * Math.cos(azimuth), y: flat * Math.sin(azimuth), z: far * Math.sin(height) };
  const moved = { x: center.x + offset.x, y: center.y + offset.y, z: center.z + offset.z };
  return { ...structuredClone(camera), eye: moved };
}
