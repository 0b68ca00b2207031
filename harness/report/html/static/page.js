"use strict";
// Tables work at once; charts follow when plotly.js is unpacked. Texts from data reach the page only by
// textContent, and plotly.js only through painted(), which escapes them.
(() => {
  const { themes, plain, sections, across } = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;
  const isData = new Set(plain);
  const coarse = matchMedia("(pointer: coarse)");
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const whole = new Intl.NumberFormat("en-US");
  const rounded = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 4 });
  const config = { responsive: true, displayModeBar: false }; // its buttons would cover data

  // -- theme ---------------------------------------------------------------------------------------------

  const button = document.getElementById("theme");
  const dark = matchMedia("(prefers-color-scheme: dark)");

  function chosen() {
    try { return localStorage.getItem("harness-theme"); } catch { return null; }
  }

  function theme() {
    return root.dataset.theme || (dark.matches ? "dark" : "light");
  }

  function name() {
    const other = theme() === "dark" ? "light" : "dark";
    button.textContent = other === "dark" ? "Dark theme" : "Light theme";
  }

  if (["light", "dark"].includes(chosen())) root.dataset.theme = chosen();
  button.hidden = false;
  name();
  button.addEventListener("click", () => {
    root.dataset.theme = theme() === "dark" ? "light" : "dark";
    try { localStorage.setItem("harness-theme", root.dataset.theme); } catch { /* a page from disk may have none */ }
    name();
    draw();
  });
  dark.addEventListener("change", () => { name(); draw(); });

  // -- tables --------------------------------------------------------------------------------------------

  function sortable(board, say) {
    const heads = [...board.tHead.rows[0].cells];
    const body = board.tBodies[0];
    heads.forEach((head, column) => {
      const press = document.createElement("button");
      press.type = "button";
      press.textContent = head.textContent.replace(", ", ",\n").replace("95 % ", "95 %\n");
      head.replaceChildren(press);
      press.addEventListener("click", () => {
        const numeric = head.classList.contains("number") && column > 0;
        const before = head.getAttribute("aria-sort");
        const order = before ? (before === "ascending" ? "descending" : "ascending") : numeric ? "descending" : "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", order);
        const sign = order === "ascending" ? 1 : -1;
        const number = head.classList.contains("number");
        const value = (row) => row.cells[column].dataset.value;
        const rows = [...body.rows].sort((a, b) => {
          const [x, y] = [value(a), value(b)];
          if (x === "" || y === "") return (x === "") - (y === "");
          return sign * (number ? x - y : x.localeCompare(y, "en", { numeric: true }));
        });
        body.append(...rows);
        say(`sorted by ${head.textContent.replace("\n", " ")}, ${order}`);
      });
    });
  }

  function filterable(view) {
    const form = view.node.querySelector("form[role=search]");
    const board = view.node.querySelector(".board");
    if (!form || !board) return;
    const out = form.querySelector("output");
    const rows = [...board.tBodies[0].rows];
    const facets = [...form.querySelectorAll("select")];
    const text = form.elements.text;
    form.hidden = false;
    sortable(board, (what) => { out.textContent = what; });

    function apply() {
      const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
      view.kept = new Set();
      for (const row of rows) {
        const content = row.textContent.toLowerCase();
        const keep = words.every((word) => content.includes(word)) &&
          facets.every((facet) => !facet.value || row.dataset[facet.name] === facet.value);
        row.hidden = !keep;
        if (keep) view.kept.add(Number(row.dataset.index));
      }
      const all = view.kept.size === rows.length;
      const all_rows = rows.length === 1 ? "1 row" : `${rows.length} rows`;
      out.textContent = all ? all_rows : `${view.kept.size} of ${all_rows}`;
      if (all) view.kept = null;
      drawFixed(view);
    }

    form.addEventListener("input", apply);
    form.addEventListener("reset", () => setTimeout(apply));
    form.addEventListener("submit", (event) => event.preventDefault());
    apply();
  }

  function cell(tag, value) {
    const node = document.createElement(tag);
    if (tag === "th") node.scope = "col";
    if (value === null || value === undefined) node.textContent = "—";
    else if (typeof value !== "number") node.textContent = value;
    else node.textContent = (Number.isInteger(value) ? whole : rounded).format(value);
    return node;
  }

  function table(caption, head, rows) {
    const node = document.createElement("table");
    const title = node.createCaption();
    title.className = "hidden";
    title.textContent = caption;
    node.createTHead().insertRow().append(...head.map((one) => cell("th", one)));
    const body = node.createTBody();
    for (const row of rows) body.insertRow().append(...row.map((one) => cell("td", one)));
    const box = document.createElement("div");
    box.className = "scroll";
    box.tabIndex = 0;
    box.setAttribute("role", "region");
    box.setAttribute("aria-label", caption);
    box.append(node);
    return box;
  }

  // -- charts --------------------------------------------------------------------------------------------

  function painted(value, data = false) {
    if (typeof value === "string") {
      if (data) return value.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
      return themes[theme()][value] ?? value;
    }
    if (Array.isArray(value)) return value.map((item) => painted(item, data));
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [
        key,
        painted(item, key === "data" || key === "layout" ? false : data || isData.has(key)),
      ]),
    );
  }

  /** A long name without its middle, as in figures.py. */
  function shortened(name, most) {
    const tail = Math.floor(most / 3);
    return name.length <= most ? name : `${name.slice(0, most - tail - 1)}…${name.slice(-tail)}`;
  }

  /** Where fingers scroll, charts stay put. A phone gets short names, smaller print and room for the legend. */
  function fitted(layout, width, traces) {
    if (coarse.matches) {
      layout = { ...layout, dragmode: false };
      for (const axis of ["xaxis", "yaxis"]) layout[axis] = { ...layout[axis], fixedrange: true };
    }
    const most = width < 480 ? 18 : width < 700 ? 28 : 40;
    const short = (axis) => axis.type === "category" && axis.ticktext
      ? { ...axis, ticktext: axis.ticktext.map((name) => shortened(name, most)) }
      : axis;
    layout = { ...layout, xaxis: short(layout.xaxis), yaxis: short(layout.yaxis) };
    if (width >= 480) return layout;
    const lines = traces.filter((trace) => trace.name && trace.showlegend !== false).length;
    return {
      ...layout,
      height: layout.height + 14 * Math.max(0, lines - 2),
      font: { ...layout.font, size: 11 },
      margin: { ...layout.margin, l: 44, r: 8 },
    };
  }

  let ready = false;

  function plot(id, figure, kept) {
    const node = document.getElementById(id).querySelector(".plot");
    if (!ready) return;
    // Shorten names before they are escaped.
    const width = node.clientWidth;
    const named = (trace) => (width < 480 && trace.name ? { ...trace, name: shortened(trace.name, 36) } : trace);
    const { data, layout } = painted({
      data: figure.data.map(named),
      layout: fitted(figure.layout, width, figure.data),
    });
    node.labels = labels(data);
    node.placed = "";
    for (const trace of data) {
      if (!kept || !trace.customdata || !trace.marker || !Array.isArray(trace.customdata[0])) continue;
      const on = trace.customdata.map((one) => kept.has(one[3]));
      trace.marker.opacity = on.map((yes) => (yes ? 1 : 0.12));
      for (const side of trace.error_y ? ["array", "arrayminus"] : []) {
        trace.error_y[side] = trace.error_y[side].map((size, i) => (on[i] ? size : 0));
      }
    }
    Plotly.react(node, data, layout, config);
    if (!node.dataset.labelled) {
      node.dataset.labelled = "yes";
      node.on("plotly_afterplot", () => place(node));
    }
    place(node);
    return node;
  }

  /** Take the texts beside points out of traces, as plotly.js would print them over each other. */
  function labels(data) {
    const found = [];
    for (const trace of data) {
      if (!trace.mode?.includes("text")) continue;
      trace.mode = trace.mode.replace("+text", "");
      trace.text.forEach((text, i) => {
        if (text.trim()) found.push({ text: text.trim(), x: trace.x[i], y: trace.y[i], font: trace.textfont });
      });
      delete trace.text;
    }
    return found;
  }

  const pen = document.createElement("canvas").getContext("2d");

  const COVERED = 20; // the price from which a label is left out: it covers a point, a label, or two bars

  /** What labels should not cover, as boxes in pixels of the plot, each with its price. */
  function obstacles(node, xaxis, yaxis) {
    const boxes = [];
    const add = (x, y, dx, dy, price, marker) =>
      boxes.push({ left: x - dx, right: x + dx, top: y - dy, bottom: y + dy, price, marker });
    for (const trace of node.data) {
      if (trace.type !== "scatter") continue;
      const points = trace.x.map((x, i) => (x === null || trace.y[i] === null ? null : [xaxis.d2p(x), yaxis.d2p(trace.y[i])]));
      points.forEach((point, i) => {
        if (!point) return;
        const sizes = trace.marker?.size ?? 6;
        const size = Array.isArray(sizes) ? sizes[i] : sizes;
        if (trace.mode.includes("markers") && size) add(...point, size / 2 + 2, size / 2 + 2, COVERED, point);
        const { visible, array, arrayminus } = trace.error_y ?? {};
        if (visible) {
          const [low, high] = [yaxis.d2p(trace.y[i] - arrayminus[i]), yaxis.d2p(trace.y[i] + array[i])];
          add(point[0], (low + high) / 2, 1, Math.abs(low - high) / 2, 10);
        }
        const next = points[i + 1];
        if (!next || !trace.mode.includes("lines")) return;
        if (trace.line?.shape === "hv") {
          add((point[0] + next[0]) / 2, point[1], Math.abs(next[0] - point[0]) / 2, 1, 2);
          add(next[0], (point[1] + next[1]) / 2, 1, Math.abs(next[1] - point[1]) / 2, 2);
        } else {
          for (let t = 0; t < 1; t += 0.1) add(point[0] + t * (next[0] - point[0]), point[1] + t * (next[1] - point[1]), 2, 2, 1);
        }
      });
    }
    return boxes;
  }

  /** Put each label where it covers least; one that would cover a point or another label is left to the hover. */
  function place(node) {
    const { xaxis, yaxis } = node._fullLayout;
    const size = 12;
    const key = JSON.stringify([xaxis._length, yaxis._length, xaxis.range, yaxis.range]);
    if (!node.labels.length || node.placed === key) return;
    node.placed = key;
    const boxes = obstacles(node, xaxis, yaxis);
    const annotations = [];
    pen.font = `${size}px ${node._fullLayout.font.family}`;
    for (const label of node.labels) {
      const [x, y] = [xaxis.d2p(label.x), yaxis.d2p(label.y)];
      const [width, height] = [pen.measureText(label.text).width + 4, size + 6];
      let best = null;
      [9, 20, 32].forEach((gap, ring) => {
        const [beside, before, above, below] = [x + gap, x - gap - width, y - gap - height, y + gap];
        const [middle, level] = [x - width / 2, y - height / 2];
        const places = [
          [beside, level], [before, level], [middle, above], [middle, below],
          [beside - 4, above + 4], [before + 4, above + 4], [beside - 4, below - 4], [before + 4, below - 4],
        ];
        places.forEach(([left, top], i) => {
          const [right, bottom] = [left + width, top + height];
          if (left < 0 || top < 0 || right > xaxis._length || bottom > yaxis._length) return;
          let price = ring + i / 10;
          for (const box of boxes) {
            const own = box.marker && Math.abs(box.marker[0] - x) + Math.abs(box.marker[1] - y) < 1;
            if (!own && left < box.right && right > box.left && top < box.bottom && bottom > box.top) price += box.price;
          }
          if (price < COVERED && (!best || price < best.price)) best = { price, left, right, top, bottom };
        });
      });
      if (!best) continue;
      boxes.push({ ...best, price: COVERED });
      annotations.push({
        text: label.text,
        showarrow: false,
        x: xaxis.type === "log" ? Math.log10(label.x) : label.x,
        y: yaxis.type === "log" ? Math.log10(label.y) : label.y,
        xanchor: "left",
        yanchor: "top",
        align: "left",
        borderpad: 0,
        xshift: best.left + 2 - x,
        yshift: y - best.top,
        font: { ...label.font, size },
        bgcolor: themes[theme()]["@surface"],
      });
    }
    Plotly.relayout(node, { annotations });
  }

  function drawFixed(view) {
    for (const chart of view.data.charts) {
      const node = plot(chart.id, chart.figure, view.kept);
      if (node && !node.dataset.bound) {
        node.dataset.bound = "yes";
        node.on("plotly_click", ({ points }) => look(view, points[0].customdata?.[3]));
      }
    }
  }

  function look(view, index) {
    const form = view.node.querySelector("form.look");
    if (!form || index === undefined) return;
    form.elements.row.value = index;
    drawLooks(view);
    form.scrollIntoView({ behavior: calm.matches ? "auto" : "smooth" });
  }

  function dressed(value, colour) {
    if (value === "@row") return colour;
    if (Array.isArray(value)) return value.map((item) => dressed(item, colour));
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, dressed(item, colour)]));
  }

  function at(series, key, i) {
    const [first, second] = key.split(".");
    return second === undefined ? series[first][i] : series[first][i]?.[second];
  }

  function drawLooks(view) {
    const form = view.node.querySelector("form.look");
    if (!form) return;
    const indices = [Number(form.elements.row.value), Number(form.elements.other.value)];
    for (const one of view.data.looks) {
      const figure = document.getElementById(one.id);
      const box = figure.querySelector(".plot");
      const numbers = figure.querySelector(".numbers");
      const shown = indices
        .filter((index, i) => i < one.styles.length && (i === 0 || index !== indices[0]) && one.series[index])
        .map((index) => ({ entry: view.data.entries[index], series: one.series[index], style: one.styles[indices.indexOf(index)] }));
      if (!one.series[indices[0]]) {
        if (ready) Plotly.purge(box);
        box.textContent = "This row has no such data.";
        box.classList.add("none");
        numbers.replaceChildren();
        continue;
      }
      if (box.classList.contains("none")) {
        box.classList.remove("none");
        box.textContent = "";
      }
      const traces = shown.map(({ entry, series, style }) => {
        const base = dressed(style, entry.colour);
        return { ...base, ...series, marker: { ...base.marker, ...series.marker }, name: entry.label };
      });
      const layout = { ...one.layout, showlegend: one.styles.length > 1 };
      plot(one.id, { data: [...one.fixed, ...traces], layout });
      if (!one.keys.length) {
        const { x, y, customdata } = shown[0].series;
        numbers.replaceChildren(table(one.title, ["true class", ...x], y.map((gold, i) => [gold, ...customdata[i]])));
        continue;
      }
      const rows = shown.flatMap(({ entry, series }) =>
        series.x.map((_, i) => [entry.label, ...one.keys.map((key) => at(series, key, i))]).filter((row) => row[1] !== null));
      numbers.replaceChildren(table(one.title, ["row", ...one.head], rows));
    }
  }

  // -- one task at a time --------------------------------------------------------------------------------

  const views = sections.map((data) => ({ data, node: document.getElementById(data.slug), kept: null }));
  const links = [...document.querySelectorAll("nav a")];
  let current = views[0];

  function show() {
    const wanted = decodeURIComponent(location.hash.slice(1));
    current = views.find((view) => view.data.slug === wanted) ?? current;
    for (const view of views) view.node.hidden = view !== current;
    for (const link of links) {
      if (link.hash.slice(1) === current?.data.slug) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
    draw();
  }

  function draw() {
    if (across) plot(across.id, across.figure);
    if (current) { drawFixed(current); drawLooks(current); }
  }

  for (const press of document.querySelectorAll(".save")) {
    press.addEventListener("click", () => {
      const figure = press.closest("figure");
      const node = figure.querySelector(".plot");
      const { width, height } = node.getBoundingClientRect();
      Plotly.downloadImage(node, { format: "svg", filename: figure.id, width, height });
    });
  }

  for (const press of document.querySelectorAll(".copy")) {
    const code = press.previousElementSibling;
    press.hidden = false;
    press.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(code.textContent);
        press.textContent = "Copied";
      } catch { // some browsers do not let a page from disk copy
        getSelection().selectAllChildren(code);
        press.textContent = "Selected";
      }
      setTimeout(() => { press.textContent = "Copy"; }, 2000);
    });
  }

  for (const view of views) {
    filterable(view);
    const form = view.node.querySelector("form.look");
    if (form) {
      form.hidden = view.data.entries.length < 2;
      form.elements.row.value = view.data.row;
      form.elements.other.value = view.data.other;
      form.addEventListener("change", () => drawLooks(view));
      form.addEventListener("submit", (event) => event.preventDefault());
    }
  }
  addEventListener("hashchange", show);
  show();

  async function unpack() {
    const packed = atob(document.getElementById("plotly").textContent.trim());
    const bytes = new Uint8Array(packed.length);
    for (let i = 0; i < bytes.length; i++) bytes[i] = packed.charCodeAt(i);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
    if (!window.Plotly) throw new Error("plotly.js did not start");
    ready = true;
    for (const press of document.querySelectorAll(".save")) press.hidden = false;
    draw();
    root.dataset.ready = "yes";
  }

  unpack().catch((error) => {
    const trouble = document.getElementById("trouble");
    trouble.textContent = `The charts cannot be drawn here (${error.message}); their numbers are in the tables.`;
    trouble.hidden = false;
  });
})();
