/* The page's behaviour: charts drawn as they come into view, tables, filters, the viewer, state in the hash.
   Classic script, no request: the page is opened from disk. Without it everything but charts is there to read. */
(function () {
  "use strict";

  const root = document.documentElement;
  const $ = (selector, within) => (within || document).querySelector(selector);
  const $$ = (selector, within) => Array.from((within || document).querySelectorAll(selector));
  const data = JSON.parse($("#data").textContent);
  const FIRST = 12;
  const SVG = "http://www.w3.org/2000/svg";
  root.classList.add("scripted");

  /* ---- State in the hash: #anchor?key=value ---- */

  const KEYS = ["task", "cells", "axis", "slice", "smodel", "order", "model", "gtask", "corruption", "severity", "pick", "open", "under"];
  const state = {};
  let anchor = "";

  function parseHash() {
    const [place, query] = location.hash.replace(/^#/, "").split("?");
    for (const key of KEYS) delete state[key];
    for (const [key, value] of new URLSearchParams(query || "")) if (KEYS.includes(key)) state[key] = value;
    try { anchor = decodeURIComponent(place || ""); } catch (error) { anchor = place || ""; }
  }

  function hash() {
    const query = new URLSearchParams();
    for (const key of KEYS) if (state[key]) query.set(key, state[key]);
    const text = query.toString();
    return "#" + encodeURIComponent(anchor) + (text ? "?" + text : "");
  }

  function save(push) {
    if (hash() !== location.hash) history[push ? "pushState" : "replaceState"](null, "", hash());
  }

  function goTo(id) {
    const target = id && document.getElementById(id);
    $$(".marked").forEach((node) => node.classList.remove("marked"));
    if (!target) return;
    if (target.matches(".card")) target.classList.add("marked");
    target.scrollIntoView();
    // Charts above it are drawn on the way and are as tall as their places: once more for what was not.
    requestAnimationFrame(() => target.scrollIntoView());
  }

  /* ---- Theme ---- */

  const system = matchMedia("(prefers-color-scheme: dark)");
  function stored() { try { return localStorage.getItem("stormglass-theme"); } catch (error) { return null; } }
  function dark() { return root.dataset.theme ? root.dataset.theme === "dark" : system.matches; }
  function paint(light) {
    const name = !light && dark() ? "dark" : "light";
    root.classList.toggle("dark", dark());
    $("#theme").textContent = dark() ? "Light" : "Dark";
    $("#theme").setAttribute("aria-label", dark() ? "Switch to light colours" : "Switch to dark colours");
    for (const node of drawn) Plotly.relayout(node, { template: data.templates[name] });
  }
  const drawn = [];
  if (stored()) root.dataset.theme = stored();
  $("#theme").addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    try { localStorage.setItem("stormglass-theme", root.dataset.theme); } catch (error) { /* private mode: this page alone */ }
    paint();
  });
  system.addEventListener("change", () => paint());

  /* ---- Charts ---- */

  const waiting = new Set($$("[data-figure]"));
  function draw(node) {
    if (!waiting.delete(node)) return;
    watcher.unobserve(node);
    const figure = data.figures[node.dataset.figure];
    node.kind = node.dataset.figure.startsWith("map-") ? "cells" : figure.layout.meta && "falling" in figure.layout.meta ? "axis" : figure.layout.meta && figure.layout.meta.choices ? "under" : "";
    // plotly writes into what it is given: the stored figure stays as it is.
    const own = JSON.parse(JSON.stringify(figure));
    own.layout.template = data.templates[dark() ? "dark" : "light"];
    Plotly.newPlot(node, own.data, own.layout, data.config);
    drawn.push(node);
    adapt(node);
    if (node.kind === "cells") {
      node.classList.add("map-cells");
      node.on("plotly_click", (event) => {
        const [corruption, severity] = event.points[0].customdata;
        const [, task, ...model] = node.dataset.figure.split("-");
        follow("gallery", { gtask: task, model: model.join("-"), corruption, severity: severity === "mean" ? "" : severity });
      });
    }
  }
  function adapt(node) {
    const figure = data.figures[node.dataset.figure];
    if (node.kind === "cells") {
      const absolute = state.cells === "absolute";
      if (absolute || node.switched) Plotly.restyle(node, { visible: [!absolute, !absolute, absolute, absolute] });
      node.switched = absolute;
    } else if (node.kind === "axis") {
      const meta = figure.layout.meta;
      const physical = state.axis === "strength" && meta.strength;
      if (!physical && !node.switched) return;
      node.switched = physical;
      Plotly.update(node, { x: physical ? meta.strength : figure.data.map((trace) => trace.x) }, {
        "xaxis.title.text": physical ? meta.unit : "severity",
        "xaxis.tickmode": physical ? "auto" : "linear",
        "xaxis.autorange": physical && meta.falling ? "reversed" : true,
      });
    } else if (node.kind === "under") {
      const choices = figure.layout.meta.choices;
      const name = state.under in choices ? state.under : "";
      if (name === (node.under || "")) return;
      node.under = name;
      const { title, range, ...traces } = choices[name];
      // null leaves a trace as it is, which plotly calls undefined.
      for (const key in traces) traces[key] = traces[key].map((entry) => (entry === null ? undefined : JSON.parse(JSON.stringify(entry))));
      Plotly.update(node, traces, Object.assign({ "xaxis.title.text": title }, range ? { "yaxis.range": range } : {}));
    }
  }
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) draw(entry.target);
  }, { rootMargin: "300px" });
  waiting.forEach((node) => watcher.observe(node));

  for (const name of ["cells", "axis"]) {
    $$(`input[name="${name}"]`).forEach((input) => input.addEventListener("change", () => {
      state[name] = input.value === "retained" || input.value === "severity" ? "" : input.value;
      save();
      drawn.forEach((node) => { if (node.kind === name) adapt(node); });
    }));
  }

  // The corruption that charts over severity show; every section that has such charts has this choice, and all agree.
  const choosers = $$("select[data-choice]");
  function showChoice() {
    const known = choosers.some((select) => Array.from(select.options, (option) => option.value).includes(state.under));
    if (!known) state.under = "";
    choosers.forEach((select) => { select.value = state.under; });
    drawn.forEach((node) => { if (node.kind === "under") adapt(node); });
  }
  choosers.forEach((select) => select.addEventListener("change", () => {
    state.under = select.value;
    save();
    showChoice();
  }));

  /* ---- Tables ---- */

  $$("details.data").forEach((details) => details.addEventListener("toggle", () => unfold(details)));
  function unfold(details) {
    const late = $(".late noscript", details);
    if (!late) return;
    const holder = late.parentNode;
    holder.innerHTML = late.textContent;
  }

  const tables = {};
  function tabulate(id, options) {
    const node = document.getElementById(id);
    if (!node) return;
    const page = Number(node.dataset.page);
    const many = node.tBodies[0].rows.length > page;
    tables[id] = new DataTable(node, Object.assign({
      paging: many,
      pageLength: page,
      lengthMenu: [[page, 50, 200, -1], [page, 50, 200, "all"]],
      order: [],
      autoWidth: false,
      layout: { topStart: "search", topEnd: many ? "pageLength" : null, bottomStart: many ? "info" : null, bottomEnd: many ? "paging" : null },
    }, options));
    // DataTables calls every table's pages the same; a page with several of them needs names.
    const pages = $("nav", tables[id].table().container());
    if (pages) pages.setAttribute("aria-label", "Pages of the " + id.replace("-", " "));
  }
  tabulate("gate-table");
  tabulate("comparison-table");
  tabulate("slice-table");
  tabulate("confusion-table");

  const slices = tables["slice-table"];
  const column = (name) => $$("#slice-table thead th").findIndex((head) => head.dataset.name === name);
  function exact(index, text) {
    slices.column(index).search(text ? (cell) => cell === text : "");
  }
  let filtering = false;
  function filterSlices() {
    // DataTables tells of each of these steps: they are ours, not the reader's.
    filtering = true;
    const name = state.task && $(`#task option[value="${CSS.escape(state.task)}"]`);
    exact(column("task"), name ? name.textContent : "");
    exact(column("model"), state.smodel || "");
    slices.search(state.slice || "");
    const [index, direction] = (state.order || "").split(".");
    if (index) slices.order([[Number(index), direction]]);
    slices.draw();
    filtering = false;
    $("#slice-model").value = state.smodel || "";
  }
  slices.on("draw", () => {
    const rows = slices.rows({ search: "applied" }).count();
    $("#export-count").textContent = rows + (rows === 1 ? " row" : " rows");
  });
  slices.on("search", () => { if (filtering) return; state.slice = slices.search() || ""; save(); });
  slices.on("order", () => {
    if (filtering) return;
    const [first] = slices.order();
    state.order = first && first[1] ? first[0] + "." + first[1] : "";
    save();
  });
  $("#slice-model").addEventListener("change", (event) => { state.smodel = event.target.value; save(); filterSlices(); });
  function saveCsv(id, file) {
    const quote = (text) => (/[",\n\r]/.test(text) ? '"' + text.replace(/"/g, '""') + '"' : text);
    // A cell may stand for several columns of the file: data-csv is that part of the line, as the file has it.
    const lines = [$$("#" + id + " thead th").map((head) => head.dataset.csv).join(",")];
    for (const row of tables[id].rows({ search: "applied", order: "applied" }).nodes().toArray()) {
      lines.push(Array.from(row.cells, (cell) => cell.dataset.csv === undefined ? quote(cell.textContent) : cell.dataset.csv).join(","));
    }
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([lines.join("\n") + "\n"], { type: "text/csv" }));
    link.download = file;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }
  $("#export").addEventListener("click", () => saveCsv("slice-table", "slices.csv"));
  $$("button[data-export]").forEach((button) => button.addEventListener("click", () => saveCsv(button.dataset.export, button.dataset.file)));

  /* ---- Task ---- */

  function showTask() {
    if ($("#task")) $("#task").value = state.task || "";
    $$(".block[data-task]").forEach((block) => { block.hidden = Boolean(state.task) && block.dataset.task !== state.task; });
    filterSlices();
    const name = state.task && $(`#task option[value="${CSS.escape(state.task)}"]`);
    if (tables["confusion-table"]) tables["confusion-table"].column(0).search(name ? (cell) => cell === name.textContent : "").draw();
  }
  if ($("#task")) $("#task").addEventListener("change", (event) => {
    state.task = event.target.value;
    if (state.gtask) state.gtask = state.task;
    save();
    showTask();
    filterCards();
  });

  /* ---- Gallery: the cards stand in a noscript, as text; those in view are made real ---- */

  const holder = $("#cards");
  const filters = $$("[data-filter]");
  const keyOf = { model: "model", task: "gtask", corruption: "corruption", severity: "severity", pick: "pick" };
  let examples = [];
  let chosen = [];
  let shown = FIRST;
  if (holder) {
    const template = document.createElement("template");
    template.innerHTML = $("noscript", holder).textContent;
    examples = $$(".example", template.content);
    for (const card of examples) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = "Look closer";
      button.setAttribute("aria-label", "Look closer: " + $("h3", card).textContent + ", " + card.dataset.example);
      button.addEventListener("click", () => open(card.dataset.example));
      card.append(button);
      $(".panels", card).addEventListener("click", () => open(card.dataset.example));
    }
    holder.textContent = "";
    $("#more").addEventListener("click", () => {
      const first = shown;
      shown += FIRST;
      showCards();
      const next = holder.children[first];
      if (next) $("button", next).focus();
    });
    filters.forEach((select) => select.addEventListener("change", () => {
      state[keyOf[select.dataset.filter]] = select.value;
      save();
      filterCards();
    }));
  }

  function wanted(name) {
    return name === "task" ? state.gtask || state.task || "" : state[keyOf[name]] || "";
  }

  function filterCards() {
    if (!holder) return;
    filters.forEach((select) => { select.value = wanted(select.dataset.filter); });
    const names = Object.keys(keyOf).filter((name) => wanted(name) !== "");
    chosen = examples.filter((card) => names.every((name) => card.dataset[name] === wanted(name)));
    shown = FIRST;
    showCards();
    const empty = $("#gallery-empty");
    empty.hidden = chosen.length > 0;
    if (!chosen.length) nearest(empty);
  }

  function showCards() {
    holder.replaceChildren(...chosen.slice(0, shown));
    $("#gallery-count").textContent = `${Math.min(shown, chosen.length)} of ${chosen.length} shown`;
    $("#more").hidden = shown >= chosen.length;
  }

  function nearest(empty) {
    // The same model and task if possible, then the same corruption, then the nearest severity.
    const severity = Number(wanted("severity") || 3);
    const far = (card) => (wanted("task") && card.dataset.task !== wanted("task") ? 1000 : 0) + (wanted("model") && card.dataset.model !== wanted("model") ? 100 : 0)
      + (wanted("corruption") && card.dataset.corruption !== wanted("corruption") ? 200 : 0) + Math.abs(Number(card.dataset.severity) - severity);
    const best = examples.reduce((a, b) => (far(b) < far(a) ? b : a));
    empty.textContent = "No picture of this cell. ";
    const link = document.createElement("a");
    link.href = "#gallery";
    link.textContent = "The nearest with pictures: " + $("h3", best).textContent.replace(/\s+/g, " ").trim();
    link.addEventListener("click", (event) => {
      event.preventDefault();
      follow("gallery", { gtask: best.dataset.task, model: best.dataset.model, corruption: best.dataset.corruption, severity: best.dataset.severity, pick: "" });
    });
    empty.append(link);
  }

  /* ---- The viewer ---- */

  const viewer = $("#viewer");
  let opener = null;

  function open(id) {
    opener = document.activeElement;
    state.open = id;
    save(true);
    view();
  }

  function view() {
    if (!viewer) return;
    const card = state.open && examples.find((one) => one.dataset.example === state.open);
    if (!card) { if (viewer.open) viewer.close(); return; }
    $("#viewer-title").textContent = $("h3", card).textContent.replace(/\s+/g, " ").trim();
    const body = $("#viewer-body");
    body.replaceChildren(...Array.from(card.children).filter((node) => !node.matches("h3, button")).map((node) => node.cloneNode(true)));
    const overlay = data.overlays[state.open];
    $("#viewer-layers").hidden = !overlay;
    if (overlay) {
      const figure = $(".panels", body).lastElementChild;
      figure.classList.add("large");
      annotate($("svg", figure), overlay);
    }
    const place = chosen.indexOf(card);
    $("#previous").disabled = place <= 0;
    $("#next").disabled = place < 0 || place >= chosen.length - 1;
    if (!viewer.open) viewer.showModal();
  }

  function annotate(svg, overlay) {
    $$("path", svg).forEach((path) => path.remove());
    const make = (name, attributes) => {
      const node = document.createElementNS(SVG, name);
      for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
      return node;
    };
    for (const side of ["truth", "prediction"]) {
      const group = make("g", { class: "side-" + side });
      for (const item of overlay[side]) {
        const style = item.state === "ignored" ? "ignored" : item.state === "false positive" ? "prediction-false" : side + "-" + item.state;
        const [x0, y0, x1, y1] = item.box;
        const rings = (item.outline || []).map((ring) => "M" + ring.reduce((text, v, i) => text + (i && i % 2 === 0 ? "L" : i ? " " : "") + v, "") + "Z");
        group.append(make("path", { class: style, d: rings.join("") || `M${x0} ${y0}H${x1}V${y1}H${x0}Z` }));
        if (side === "truth" && item.state === "matched") continue;
        const label = make("text", { x: x0 + 1, y: side === "truth" ? y1 - 1.5 : Math.max(6, y0 - 1.5) });
        label.textContent = item.class + (item.id === undefined ? "" : " #" + item.id) + (item.score === undefined ? "" : " " + item.score.toFixed(2));
        group.append(label);
      }
      svg.append(group);
    }
  }

  if (viewer) {
    const step = (by) => {
      const place = chosen.findIndex((card) => card.dataset.example === state.open) + by;
      if (place < 0 || place >= chosen.length) return;
      state.open = chosen[place].dataset.example;
      if (place >= shown) { shown = place + 1; showCards(); }
      save();
      view();
    };
    $("#previous").addEventListener("click", () => step(-1));
    $("#next").addEventListener("click", () => step(1));
    $("#close").addEventListener("click", () => viewer.close());
    viewer.addEventListener("click", (event) => { if (event.target === viewer) viewer.close(); });
    viewer.addEventListener("keydown", (event) => {
      if (event.key === "ArrowLeft") step(-1);
      if (event.key === "ArrowRight") step(1);
    });
    viewer.addEventListener("close", () => {
      const last = state.open && examples.find((card) => card.dataset.example === state.open);
      state.open = "";
      save();
      const back = last && last.isConnected ? $("button", last) : opener;
      if (back && back.focus) back.focus();
    });
    $$("[data-layer]").forEach((box) => box.addEventListener("change", () => {
      $("#viewer-body").classList.toggle("without-" + box.dataset.layer, !box.checked);
    }));
  }

  /* ---- Links ---- */

  function follow(place, changes) {
    anchor = place;
    Object.assign(state, changes);
    save(true);
    apply();
  }

  document.addEventListener("click", (event) => {
    const link = event.target.closest && event.target.closest("a[href^='#']");
    if (!link) return;
    event.preventDefault();
    const place = link.getAttribute("href").slice(1);
    const given = Object.fromEntries(JSON.parse(link.dataset.link || "[]").map(([key, value]) => [key, String(value)]));
    if (place === "gallery" && link.dataset.link) {
      follow(place, { gtask: given.task || "", model: given.model || "", corruption: given.corruption || "", severity: given.severity || "", pick: "" });
    } else if (place === "slices" && link.dataset.link) {
      follow(place, { task: given.task || "", smodel: given.model || "", slice: link.dataset.slice || "" });
    } else {
      follow(place, given.task && state.task ? { task: given.task } : {});
    }
  });

  function apply() {
    for (const [name, plain] of [["cells", "retained"], ["axis", "severity"]]) {
      const input = $(`input[name="${name}"][value="${CSS.escape(state[name] || plain)}"]`);
      if (input) input.checked = true;
    }
    const target = anchor && document.getElementById(anchor);
    const block = target && target.closest(".block[data-task]");
    if (block && state.task && block.dataset.task !== state.task) state.task = block.dataset.task;
    showChoice();
    drawn.forEach(adapt);
    showTask();
    filterCards();
    view();
    if (!state.open) goTo(anchor);
  }
  window.addEventListener("popstate", () => { parseHash(); apply(); });

  /* ---- Print: every chart, every row, in light ---- */

  window.addEventListener("beforeprint", () => {
    $$(".block[hidden]").forEach((block) => { block.hidden = false; });
    Array.from(waiting).forEach(draw);
    $$("details").forEach((details) => { unfold(details); details.open = true; });
    Object.values(tables).forEach((table) => table.page.len(-1).draw());
    paint(true);
  });
  window.addEventListener("afterprint", () => { showTask(); paint(); });

  parseHash();
  paint();
  apply();
})();
