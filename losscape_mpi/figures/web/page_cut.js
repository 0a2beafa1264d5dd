"use strict";
// Two cuts of a surface through the point that is read: along alpha and along beta.

function drawCut(file, column, scale) {
  if (!isVisible(file.cut)) return;
  const [i, j] = file.probe, num = file.beta.length;
  const along = [Array.from(file.alpha, (_, k) => k * num + j), Array.from(file.beta, (_, k) => i * num + k)];
  const data = along.flatMap((points, number) => cutTraces(file, column, scale, points, number));
  Plotly.react(file.cut, data, cutLayout(file, column, scale), CONFIG);
  listenToFingers(file, file.cut);
}

// One cut: its curve with a band of two standard errors, and the point that is read.
function cutTraces(file, column, scale, points, number) {
  const { values, stderr } = file.columns[column.name], style = page.style.cuts[number];
  const axis = number ? file.beta : file.alpha, at = file.probe[number];
  const place = number ? { xaxis: "x2" } : {}, pick = (list) => points.map((k) => list[k]);
  const y = pick(values).map(scale.height), text = points.map((k) => pointText(file, column, k));
  const error = stderr ? bands(axis, pick(values).map((v) => Math.min(v, scale.high)), pick(stderr), scale, page.style.cutBand) : [];
  return [
    ...error.map((band) => ({ ...band, fillcolor: style.fillcolor, ...place })),
    { ...page.style.cut, line: style.line, x: [...axis], y, text, ...place },
    { ...page.style.cutPoint, marker: { ...page.style.cutPoint.marker, color: style.line.color }, x: [axis[at]], y: [y[at]], ...place },
  ];
}

function cutLayout(file, column, scale) {
  const color = colors(), lines = { gridcolor: color("line"), zeroline: false, automargin: true };
  const [i, j] = file.probe, words = [[file.letters.alpha, "β", file.beta[j]], ["β", file.letters.alpha, file.alpha[i]]];
  const axis = ([own, other, value], domain) => ({
    ...lines, domain, nticks: 6, title: { text: `${plain(own)}  (at ${plain(other)} = ${short(value)})`, standoff: 4 },
  });
  const ticks = axisTicks(scale, 5);
  return {
    ...page.style.cutFrame, paper_bgcolor: color("page"), plot_bgcolor: color("page"), font: { color: color("ink"), size: 11 },
    xaxis: axis(words[0], [0, 0.47]), xaxis2: axis(words[1], [0.53, 1]),
    yaxis: { ...lines, ...ticks, title: { text: plain(column.metricLabel), standoff: 2 } },
  };
}
