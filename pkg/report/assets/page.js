"use strict";
// Draws the plots of a cell when it is opened. Everything it needs is in #data, by
// the number of the cell; the page without it shows the same in words and one SVG.
(() => {
  const { cells, refunds } = JSON.parse(document.getElementById("data").textContent);
  const drawn = new Map(); // number of a cell -> its plots, to be drawn again in other colours
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
  const alpha = (colour, a) => colour + Math.round(a * 255).toString(16).padStart(2, "0");

  const element = (tag, cls, text) => {
    const e = document.createElement(tag);
    if (cls) e.className = cls;
    if (text) e.textContent = text;
    return e;
  };

  const figure = (box, title, note, wide) => {
    const f = element("figure", wide ? "wide" : "");
    const caption = element("figcaption", "", title);
    if (note) caption.append(element("small", "", note));
    f.append(caption);
    box.append(f);
    return f;
  };

  const time = (s) => {
    if (s === 0) return "0";
    const a = Math.abs(s);
    const [n, unit] = a >= 172800 ? [s / 86400, "d"] : a >= 7200 ? [s / 3600, "h"] : a >= 300 ? [s / 60, "min"]
      : a >= 1 ? [s, "s"] : a >= 1e-3 ? [s * 1e3, "ms"] : a >= 1e-6 ? [s * 1e6, "µs"] : [s * 1e9, "ns"];
    return +n.toPrecision(4) + " " + unit;
  };
  const amount = (n) => (n == null ? "" : Math.abs(n) >= 1e6 ? +(n / 1e6).toPrecision(4) + " M" : Math.abs(n) >= 1e4 ? +(n / 1e3).toPrecision(4) + " k" : "" + +n.toPrecision(6));
  const millis = (n) => (n == null ? "" : time(n / 1e3));

  // Distances of ticks on an axis of time, in seconds: round ones in every unit.
  const distances = [];
  for (let e = -9; e < 1; e++) distances.push(10 ** e, 2 * 10 ** e, 5 * 10 ** e);
  distances.push(10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 10800, 14400, 21600, 43200, 86400, 172800, 432000, 864000, 2592000);

  // plot is uPlot with the axes of this page. o.xname and o.yname say what is drawn.
  const plot = (parent, o) => {
    const axis = (more) => ({ stroke: css("soft"), grid: { stroke: css("line"), width: 1 }, ticks: { stroke: css("line") }, font: "11px system-ui", ...more });
    const width = Math.max(220, parent.clientWidth);
    return new uPlot({
      width, height: o.height || 230, cursor: { drag: { x: true, y: false } }, legend: { live: true, ...o.legend },
      scales: { x: { time: false, ...o.xscale }, y: { range: (u, lo, hi) => [Math.min(0, lo), hi > 0 ? hi * 1.06 : 1], ...o.yscale } },
      axes: [axis({ values: (u, v) => v.map(o.x || time), space: 70, size: 30, ...(o.x ? {} : { incrs: distances }), ...named(o.xname), ...o.xaxis }), axis({ values: (u, v) => v.map(o.y || amount), size: 58, ...named(o.yname), ...o.yaxis })],
      series: [{ label: o.xlabel || "time", value: (u, v) => (v == null ? "" : (o.x || time)(v)) },
        ...o.series.map((s) => ({ width: 1.5, points: { show: false }, value: (u, v) => (o.y || amount)(v), ...s }))],
      bands: o.bands, hooks: o.hooks, plugins: o.plugins,
    }, o.data, parent);
  };

  const named = (label) => (label ? { label, labelSize: 16, labelGap: 2, labelFont: "11px system-ui" } : {});
  const since = "since the scenario began";
  const steps = () => uPlot.paths.stepped({ align: 1 });
  const level = (x, n) => x.map(() => n);
  const verticals = (ticks) => ({ draw: [(u) => {
    const c = u.ctx;
    c.save();
    c.strokeStyle = css("soft");
    c.setLineDash([2, 4]);
    for (const t of ticks || []) {
      const x = u.valToPos(t, "x", true);
      c.beginPath(); c.moveTo(x, u.bbox.top); c.lineTo(x, u.bbox.top + u.bbox.height); c.stroke();
    }
    c.restore();
  }] });

  const ledger = (box, l) => {
    const f = figure(box, "Ledger over time: " + l.title, "How much of the limit is taken at each instant: used for good (settled) and, on top of it, reserved for requests that have not ended (outstanding). A refund is a step down. The grey band is where the judge proves the sum to lie; red is certainly above the limit." + ((l.ticks || []).length ? " A dotted line is where a window begins." : ""), true);
    const beyond = l.low.map((v) => (v > l.limit ? v : null));
    plot(f, {
      height: 270, xname: since, yname: "tokens taken", data: [l.x, l.high, l.low, l.total, l.settled, level(l.x, l.limit), beyond], hooks: verticals(l.ticks),
      series: [
        { label: "at most", stroke: css("band"), paths: steps(), width: 1 },
        { label: "at least", stroke: css("band"), paths: steps(), width: 1 },
        { label: "settled + outstanding", stroke: css("outstanding"), fill: alpha(css("outstanding"), .75), paths: steps() },
        { label: "settled", stroke: css("settled"), fill: alpha(css("settled"), .9), paths: steps() },
        { label: "limit", stroke: css("limit"), dash: [6, 4], width: 1 },
        { label: "above the limit", stroke: css("beyond"), paths: steps(), width: 2 },
      ],
      bands: [{ series: [1, 2], fill: alpha(css("band"), .35) }, { series: [6, 5], fill: alpha(css("beyond"), .8) }],
    });
  };

  const residual = (box, r) => {
    const off = (list) => (list || []).some((v) => v !== 0), lost = off(r.y), drift = off(r.drift);
    const f = figure(box, "Conservation residual: " + r.title, "Whether tokens were lost, each time the target's own account was read. Its bookkeeping: reserved − used − given back + debited − outstanding is " + (lost ? "not zero: tokens were lost or made up." : "zero throughout, as it must be.")
      + (r.drift ? " Against the judge: used + outstanding is " + (drift ? "not what the requests can have cost; above zero is a leak, below it is a gift." : "what the requests can have cost, throughout.") : ""));
    const series = [{ label: "its bookkeeping", stroke: lost ? css("beyond") : css("pass"), paths: steps(), width: 2, points: { show: true, size: 5 } }];
    if (r.drift) series.push({ label: "against the judge", stroke: drift ? css("fail") : css("settled"), dash: [6, 3], paths: steps(), width: 2, points: { show: true, size: 5 } });
    plot(f, { height: 170, xname: since, yname: "tokens", data: r.drift ? [r.x, r.y, r.drift] : [r.x, r.y], yscale: { range: (u, lo, hi) => [Math.min(-1, lo * 1.1), Math.max(1, hi * 1.1)] }, series });
  };

  const colours = () => [css("pass"), css("outstanding"), css("skip"), css("fail"), css("error")];

  const arrivals = (box, a) => {
    const many = a.bin > 0;
    const f = figure(box, "Admission timeline", many ? "Requests in each " + time(a.bin) + " by what became of them. A dot with a ring is a decision that the judge proves wrong (the first hundred of each kind); point at it to see which." : "A dot for each request when it was sent, in the lane of what became of it. A ring is a decision that the judge proves wrong; point at a dot to see its tokens.", true);
    const hover = element("p", "hover", "");
    const colour = colours();
    const dots = a.dots || [];
    const top = many ? 0 : a.lanes.length;
    const y = (d) => (many ? 0 : a.lanes.length - 1 - d.l + .5);
    const xs = many ? a.x : dots.map((d) => d.t).sort((p, q) => p - q);
    const first = xs.length ? Math.min(xs[0], dots.length ? dots[0].t : xs[0]) : 0;
    const last = xs.length ? Math.max(xs[xs.length - 1], first + 1e-6) : 1;
    const paint = (u) => {
      const c = u.ctx, px = devicePixelRatio;
      c.save();
      for (const d of dots) {
        const x = u.valToPos(d.t, "x", true), at = many ? u.bbox.top + 8 * px : u.valToPos(y(d), "y", true);
        c.fillStyle = alpha(colour[d.l], .8);
        c.beginPath(); c.arc(x, at, 3 * px, 0, 7); c.fill();
        if (d.w) { c.strokeStyle = css("beyond"); c.lineWidth = 2 * px; c.beginPath(); c.arc(x, at, 6 * px, 0, 7); c.stroke(); }
      }
      c.restore();
    };
    const near = (u) => {
      const { left, top: up } = u.cursor;
      let best = null, dist = 144;
      for (const d of dots) {
        const dx = u.valToPos(d.t, "x") - left, dy = (many ? 8 : u.valToPos(y(d), "y")) - up, r = dx * dx + dy * dy;
        if (r < dist) { dist = r; best = d; }
      }
      hover.textContent = best ? `${best.id} at ${time(best.t)}: ${a.lanes[best.l]}` + (best.l === 0 ? `, reserved ${best.r}, used ${best.a}, back ${best.r - best.a}` : "") + (best.w ? "; proved wrong" : "") : "";
    };
    const series = many ? a.lanes.map((name, i) => ({ label: name, stroke: colour[i], fill: alpha(colour[i], .25), paths: steps() })) : [{ label: "", stroke: "transparent" }];
    plot(f, {
      height: many ? 230 : 70 + 28 * a.lanes.length, legend: { show: many }, xname: since, yname: many ? "requests" : "",
      data: many ? [a.x, ...a.count] : [[first, last], [null, null]], series,
      xscale: { range: () => { const pad = (last - first) * .02; return [first - pad, last + pad]; } },
      yscale: many ? {} : { range: () => [0, top] },
      yaxis: many ? {} : { size: 78, splits: () => a.lanes.map((_, i) => i + .5), values: () => [...a.lanes].reverse(), grid: { show: false } },
      hooks: { draw: [paint], setCursor: [near] },
    });
    f.append(hover);
  };

  const bars = () => uPlot.paths.bars({ size: [.7, 40] });
  const windows = (box, w) => {
    const f = figure(box, "Used per window: " + w.title, "What the requests that were admitted in each calendar window cost in the end, against what the window may pay for (dashed). Red is more than that.");
    plot(f, { xname: since, yname: "tokens", data: [w.x, w.used, w.used.map((v) => (v > w.limit ? v : null)), level(w.x, w.limit)],
      xscale: { range: (u, lo, hi) => [lo - w.width, hi + w.width] },
      series: [{ label: "used", fill: css("settled"), stroke: css("settled"), paths: bars() }, { label: "above", fill: css("beyond"), stroke: css("beyond"), paths: bars() },
        { label: "limit", stroke: css("limit"), dash: [6, 4], width: 1 }] });
  };

  const burst = (box, b) => {
    const f = figure(box, "Burstiness: " + b.title, "How deep a bucket has to be so that all that was admitted fits, if it is refilled at a share of the configured rate. The cross is what is configured: a curve above it at 100 % means that too much was admitted.");
    const mark = (u) => {
      if (!b.limit) return;
      const c = u.ctx, x = u.valToPos(1, "x", true), y = u.valToPos(b.limit, "y", true), r = 6 * devicePixelRatio;
      c.save(); c.strokeStyle = css("limit"); c.lineWidth = 2 * devicePixelRatio; c.beginPath();
      c.moveTo(x - r, y); c.lineTo(x + r, y); c.moveTo(x, y - r); c.lineTo(x, y + r); c.stroke(); c.restore();
    };
    plot(f, { xname: "share of the configured rate", yname: "tokens", data: [b.x, b.y], x: (v) => Math.round(v * 100) + " %", xlabel: "share of the rate", hooks: { draw: [mark] },
      yscale: { range: (u, lo, hi) => [0, Math.max(hi, b.limit) * 1.1 || 1] }, series: [{ label: "burst", stroke: css("settled"), width: 2, points: { show: true, size: 5 } }] });
  };

  // distribution draws quantiles on an axis where each further nine is as wide as
  // the one before: x is -log10(1 - share).
  const distribution = (box, lines, title, note, between) => {
    const f = figure(box, title, note + " Read it as: so large a share took at most so long; each further nine is as wide as the one before.");
    const n = Math.max(...lines.map((l) => l.y.length));
    const x = Array.from({ length: n }, (_, i) => 5 * i / 120);
    const palette = [css("settled"), css("outstanding"), css("fail"), css("error"), css("pass")];
    const share = (v) => (v <= 0 ? "0 %" : +(100 * (1 - Math.pow(10, -v))).toFixed(4) + " %");
    const [upper, lower] = (between || []).map((name) => 1 + lines.findIndex((l) => l.name === name));
    plot(f, { xname: "share of requests", yname: "time", bands: upper && lower ? [{ series: [upper, lower], fill: alpha(css("outstanding"), .3) }] : undefined,
      data: [x, ...lines.map((l) => x.map((_, i) => (i < l.y.length ? l.y[i] : null)))], x: share, xlabel: "share", y: millis,
      xaxis: { splits: (u, i, lo, hi) => [0, .30103, 1, 2, 3, 4, 5].filter((v) => v <= hi + 1e-9), space: 30 },
      series: lines.map((l, i) => ({ label: `${l.name} (${l.n})`, stroke: palette[i % palette.length], width: 2 })) });
  };

  const rates = (box, r) => {
    const f = figure(box, "Offered, achieved, admitted, goodput", "Requests per second, in bins of " + time(r.bin) + ": due by the plan (offered), really sent (achieved), let through to the provider (admitted), answered whole with 200 (goodput), rejected" + (r.dropped ? ", and not sent because too many were in flight (dropped)." : ". Nothing was dropped."), true);
    const lines = [["offered", { stroke: css("skip"), dash: [5, 3] }], ["achieved", { stroke: css("limit") }], ["admitted", { stroke: css("settled") }],
      ["goodput", { stroke: css("pass"), width: 2 }], ["rejected", { stroke: css("outstanding") }], ["dropped", { stroke: css("error") }]].filter(([name]) => r[name]);
    plot(f, { xname: since, yname: "requests/s", data: [r.x, ...lines.map(([name]) => r[name])], series: lines.map(([label, style]) => ({ label, ...style })) });
  };

  const accuracy = (box, a) => {
    const f = figure(box, "Reservation accuracy", `What each admitted request reserved, and what it used; a larger dot is more requests. On the dashed line nothing comes back, above it something is owed. In sum ${a.ratio.toPrecision(3)} times what was used had been reserved.`);
    const top = Math.max(...a.x, ...a.y) * 1.05;
    const paint = (u) => {
      const c = u.ctx, px = devicePixelRatio;
      c.save();
      c.strokeStyle = css("soft"); c.setLineDash([4, 4]); c.beginPath();
      c.moveTo(u.valToPos(0, "x", true), u.valToPos(0, "y", true)); c.lineTo(u.valToPos(top, "x", true), u.valToPos(top, "y", true)); c.stroke();
      c.fillStyle = alpha(css("settled"), .65);
      a.x.forEach((x, i) => { c.beginPath(); c.arc(u.valToPos(x, "x", true), u.valToPos(a.y[i], "y", true), Math.min(9, 3 + Math.sqrt(a.n[i])) * px, 0, 7); c.fill(); });
      c.restore();
    };
    plot(f, { data: [[0, top], [null, null]], x: amount, xlabel: "reserved", legend: { show: false }, series: [{ label: "used", stroke: "transparent" }],
      xscale: { range: () => [0, top] }, yscale: { range: () => [0, top] }, xname: "reserved tokens", yname: "used tokens", hooks: { draw: [paint] } });
  };

  const draw = (cell) => {
    const p = cells[+cell.dataset.cell], box = cell.querySelector(".plots");
    if (!p || !box) return;
    box.replaceChildren();
    const server = cell.querySelector("[data-first]");
    if (server && p.ledgers) server.hidden = true;
    (p.ledgers || []).forEach((l) => ledger(box, l));
    (p.residuals || []).forEach((r) => residual(box, r));
    if (p.arrivals) arrivals(box, p.arrivals);
    (p.windows || []).forEach((w) => windows(box, w));
    (p.bursts || []).forEach((b) => burst(box, b));
    if (p.latency) distribution(box, p.latency, "Latency by outcome", "From sent to the last byte; of loads also from the instant at which the request was due: the shaded gap is what a late sender would hide.", ["admitted, from due", "admitted"]);
    if (p.added) distribution(box, p.added, "Overhead of the target", "The same answers through the target, and as long as the mock alone took for them: the shaded gap is what the target adds.", ["through the target", "the mock alone"]);
    if (p.first) distribution(box, p.first, "Time to the first byte", "Of answers with status 200, by how they were delivered: a stream that is held back is as slow as a whole answer.");
    if (p.gaps) distribution(box, p.gaps, "Gaps between events", "Pauses between the events of streams, by load: a target that buffers makes many short ones and a few long ones.");
    if (p.rates) rates(box, p.rates);
    if (p.accuracy) accuracy(box, p.accuracy);
    drawn.set(cell, box.clientWidth);
  };

  const summary = document.getElementById("refund-plot");
  const drawRefunds = () => {
    if (!summary || !refunds) return;
    summary.replaceChildren();
    distribution(summary, [refunds], "Refund latency", "From the end of the last answer to the instant at which its tokens were seen to be back.");
  };
  drawRefunds();

  document.querySelectorAll("details.cell").forEach((cell) => {
    cell.addEventListener("toggle", () => { if (cell.open && !drawn.has(cell)) draw(cell); });
    if (cell.open) draw(cell);
  });
  const follow = () => {
    const cell = location.hash.startsWith("#cell-") && document.getElementById(location.hash.slice(1));
    if (cell) { cell.open = true; cell.scrollIntoView(); }
  };
  addEventListener("hashchange", follow);
  follow();
  const again = () => drawRefunds() || drawn.forEach((_, cell) => { if (cell.open) draw(cell); else drawn.delete(cell); });
  // Paper is white, whatever the screen is.
  const printing = (on) => () => { document.documentElement.classList.toggle("printing", on); again(); };
  addEventListener("beforeprint", printing(true));
  addEventListener("afterprint", printing(false));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  let resizing = 0;
  addEventListener("resize", () => {
    clearTimeout(resizing);
    resizing = setTimeout(() => drawRefunds() || drawn.forEach((width, cell) => { if (cell.open && cell.querySelector(".plots").clientWidth !== width) draw(cell); }), 150);
  });
})();
