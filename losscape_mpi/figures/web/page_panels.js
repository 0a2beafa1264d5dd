"use strict";
// What stands below the figures of a file. One row, one panel:
//   name    its class, and the key of what it keeps
//   title   its heading
//   isFor   (file, column) whether there is anything to show
//   build   (body, file) makes its controls, once
//   draw    (body, file, column, scale) shows it, after each drawing of the figures
// What it needs of a surface file is a key of describe_file in page/file.py.

const PANELS = [
  { name: "player", title: "Training path", isFor: hasSteps, build: buildPlayer, draw: drawPlayer },
];

function drawPanels(file, column, scale) {
  for (const { name, title, isFor, build, draw: show } of PANELS) {
    const isShown = isFor(file, column);
    let panel = file.section.querySelector(`.panel.${name}`);
    if (!panel && isShown) {
      panel = document.createElement("section");
      const head = document.createElement("h3"), body = document.createElement("div");
      panel.className = `panel ${name}`;
      head.textContent = title;
      panel.ariaLabel = `${title} of ${file.name}`;
      panel.append(head, body);
      file.section.querySelector(".panels").append(panel);
      build(body, file);
    }
    if (panel) panel.hidden = !isShown;
    if (isShown) show(panel.lastElementChild, file, column, scale);
  }
}
