"use strict";
// A page that a server made asks it for new numbers: camera, settings and the point read stay.

const POLL_DATA = "data.json"; // what page_data gives: { surfaces, numbers }; or { message }

// Asks until the page is closed; an answer that is the last one again draws nothing.
async function poll() {
  const seconds = Number(document.querySelector("meta[name=poll]")?.content);
  if (!seconds) return;
  for (let last = null; ; ) {
    await new Promise((resume) => setTimeout(resume, 1000 * seconds));
    try {
      const answer = await fetch(POLL_DATA, { cache: "no-cache" });
      if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`);
      const text = await answer.text();
      const data = JSON.parse(text);
      if (text !== last && data.surfaces) await takeData(data);
      last = text;
      say(data.message ?? "");
    } catch (error) {
      say(`No new numbers: the server does not answer (${error.message}). The figures show the last ones.`);
    }
  }
}

function say(text) {
  byId("message").textContent = text;
  byId("message").hidden = !text;
}

// Takes new numbers of the same files in place of the old ones.
async function takeData({ surfaces, numbers }) {
  const next = unpack(surfaces, await inflate(numbers));
  const names = (all) => JSON.stringify(all.map((file) => [file.name, file.isLine]));
  if (names(next.files) !== names(page.files)) return location.reload();
  page = next;
  files.forEach((file, k) => {
    const place = [file.alpha[file.probe[0]], file.beta[file.probe[1]]];
    Object.assign(file, next.files[k]);
    file.probe = [nearest(file.alpha, place[0]), nearest(file.beta, place[1])];
    showFacts(file);
  });
  renewScale();
  await draw();
}

// Texts of a file are text, never elements.
function showFacts(file) {
  for (const place of all(".points", file.section)) place.textContent = file.points;
  file.section.querySelector(".note").textContent = file.note;
  const rows = file.facts.map(([key, text]) => {
    const row = document.createElement("tr"), head = document.createElement("th");
    head.scope = "row";
    head.textContent = key;
    row.append(head);
    row.insertCell().textContent = text;
    return row;
  });
  file.section.querySelector(".facts tbody").replaceChildren(...rows);
}
