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
  const config = {
    responsive: true,
    displaylogo: false,
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "zoomIn2d", "zoomOut2d"],
    toImageButtonOptions: { format: "svg" },
  };

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
      press.textContent = head.textContent.replace(", ", ",\n");
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
      out.textContent = all ? `${rows.length} rows` : `${view.kept.size} of ${rows.length} rows`;
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

  /** Where fingers scroll, charts stay put; on a phone smaller print, less margin, room for a longer legend. */
  function fitted(layout, width, traces) {
    if (coarse.matches) {
      layout = { ...layout, dragmode: false };
      for (const axis of ["xaxis", "yaxis"]) layout[axis] = { ...layout[axis], fixedrange: true };
    }
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
    const { data, layout } = painted(figure);
    for (const trace of data) {
      if (!kept || !trace.customdata || !trace.marker || !Array.isArray(trace.customdata[0])) continue;
      const on = trace.customdata.map((one) => kept.has(one[3]));
      trace.marker.opacity = on.map((yes) => (yes ? 1 : 0.12));
      if (trace.error_y) trace.error_y.array = trace.error_y.array.map((size, i) => (on[i] ? size : 0));
    }
    Plotly.react(node, data, fitted(layout, node.clientWidth, data), config);
    return node;
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
        numbers.replaceChildren(table(one.title, ["gold", ...x], y.map((gold, i) => [gold, ...customdata[i]])));
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

  for (const view of views) {
    filterable(view);
    const form = view.node.querySelector("form.look");
    if (form) {
      form.hidden = false;
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
    draw();
    root.dataset.ready = "yes";
  }

  unpack().catch((error) => {
    const trouble = document.getElementById("trouble");
    trouble.textContent = `The charts cannot be drawn here (${error.message}); their numbers are in the tables.`;
    trouble.hidden = false;
  });
})();
