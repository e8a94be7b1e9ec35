/* The page's behaviour: charts drawn as they come into view, tables, filters, the viewer, state in the hash.
   Classic script, no request: the page is opened from disk. Without it everything but charts is there to read. */
(function () {
  "use strict";

  const root = document.documentElement;
  const $ = (selector, within) => (within || document).querySelector(selector);
  const $$ = (selector, within) => Array.from((within || document).querySelectorAll(selector));
  const data = restored(JSON.parse($("#data").textContent));
  const FIRST = innerWidth < 700 ? 4 : 12;
  const SIDEWAYS = ".scroll, .multiples, .strips";
  const SVG = "http://www.w3.org/2000/svg";
  root.classList.add("scripted");

  /* ---- Data: what tasks/report/packing.py made small ---- */

  function restored({ shared, ...value }) {
    const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const whole = (item) => {
      if (Array.isArray(item)) return item.map(whole);
      if (item === null || typeof item !== "object") return item;
      if ("$at" in item) {
        const few = whole(item.$);
        return Array.from(item.$at, (digit) => few[digits.indexOf(digit)]);
      }
      const { $: base, ...own } = item;
      for (const key in own) own[key] = whole(own[key]);
      return base === undefined ? own : Object.keys(own).length ? { ...shared[base], ...own } : shared[base];
    };
    shared.forEach((item, place) => { shared[place] = whole(item); });
    return whole(value);
  }

  /* ---- State in the hash: #anchor?key=value ---- */

  const KEYS = ["task", "cells", "axis", "slice", "smodel", "order", "model", "gtask", "corruption", "severity", "gslice", "pick", "open", "at", "under"];
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
    if (typeof Plotly === "function") window.Plotly = Plotly(); // what shell.py leaves of it: its modules, not yet started
    const figure = data.figures[node.dataset.figure];
    node.kind = node.dataset.figure.startsWith("map-") ? "cells" : figure.layout.meta && "falling" in figure.layout.meta ? "axis" : figure.layout.meta && figure.layout.meta.choices ? "under" : "";
    // plotly writes into what it is given: the stored figure stays as it is.
    const own = JSON.parse(JSON.stringify(figure));
    own.layout.template = data.templates[dark() ? "dark" : "light"];
    if (figure.layout.meta && figure.layout.meta.told) own.data[0].text = told(node);
    if (node.kind === "cells") makeRoom(node, own);
    Plotly.newPlot(node, own.data, own.layout, data.config);
    drawn.push(node);
    adapt(node);
    if (node.kind === "axis" && figure.layout.meta.pictures) {
      node.classList.add("map-cells");
      node.on("plotly_click", (event) => followPoint(figure.layout.meta.pictures, figure, event.points[0]));
    }
    if (node.kind === "cells") {
      node.classList.add("map-cells");
      node.on("plotly_click", (event) => {
        const [corruption, severity] = event.points[0].customdata;
        const [, task, ...model] = node.dataset.figure.split("-");
        follow("gallery", { gtask: task, model: model.join("-"), corruption, severity: severity === "mean" ? "" : severity, gslice: "", pick: "" });
      });
    }
  }
  // For a map's labels, measured here: to find it plotly would draw the map twice.
  function makeRoom(node, { data: [{ y }], layout }) {
    const pen = document.createElement("canvas").getContext("2d");
    pen.font = "12px system-ui, sans-serif";
    const width = Math.max(...y.map((label) => pen.measureText(plain(label)).width));
    Object.assign(layout.margin, { l: Math.min(Math.ceil(width) + 10, node.clientWidth / 2), t: 48 });
    layout.xaxis.automargin = layout.yaxis.automargin = false;
  }
  function plain(label) {
    const made = document.createElement("template");
    made.innerHTML = label;
    return made.content.textContent;
  }
  // A point of a curve: all models' at that severity, for pointing at it shows them all.
  function followPoint(meta, figure, point) {
    const severity = figure.data[point.curveNumber].x[point.pointIndex];
    follow("gallery", { gtask: meta.task, model: "", corruption: severity === 0 ? "clean" : meta.corruption, severity: String(severity), gslice: "", pick: "" });
  }
  // The texts of a chart's cells, as its table has them.
  function told(node) {
    const rows = document.createElement("template");
    const details = $("details.data", node.closest(".card"));
    const late = $(".late noscript", details);
    rows.innerHTML = late ? late.textContent : $(".late", details).innerHTML;
    return $$("tbody tr", rows.content).map((row) => Array.from(row.cells).slice(1).map((cell) => cell.textContent));
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
  // What is in sight at once; what is near one at a time, so that the page can be used in between.
  let coming = [];
  const watcher = new IntersectionObserver((entries) => {
    if (!coming.length) setTimeout(drawNext);
    coming.push(...entries.filter((entry) => entry.isIntersecting).map((entry) => entry.target));
  }, { rootMargin: "300px" });
  function drawNext() {
    const places = coming.map((node) => node.getBoundingClientRect());
    const seen = coming.filter((node, at) => places[at].bottom > 0 && places[at].top < innerHeight);
    const chosen = seen.length ? seen : coming.slice(0, 1);
    chosen.forEach(draw);
    coming = coming.filter((node) => !chosen.includes(node));
    if (coming.length) setTimeout(drawNext);
  }
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
    $$(".scroll", holder).forEach(tellWidth);
  }

  // What is wider than its place says so; a row of cards that does can be reached by keyboard, as tables always can.
  const widths = new ResizeObserver((entries) => entries.forEach((entry) => more(entry.target.closest(SIDEWAYS))));
  function tellWidth(node) {
    widths.observe(node);
    if (node.firstElementChild) widths.observe(node.firstElementChild);
    node.addEventListener("scroll", () => more(node), { passive: true });
  }
  function more(node) {
    const rest = node.scrollWidth - node.clientWidth;
    node.classList.toggle("sideways", rest > 2);
    node.classList.toggle("more", rest - node.scrollLeft > 2);
    node.classList.toggle("less", node.scrollLeft > 2);
    if (node.matches(".scroll")) return;
    if (rest > 2) node.tabIndex = 0;
    else node.removeAttribute("tabindex");
  }
  $$(SIDEWAYS).forEach(tellWidth);

  const tables = {};
  function tabulate(node, options) {
    const id = node.id;
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

  const later = window.requestIdleCallback || setTimeout;
  // A table is made as it comes near, or is to be printed, or when there is time: all at once would hold up the page. A
  // long one stands in a noscript until then, and a very long one until it comes near.
  const unmade = new Set($$("table.data[data-page], noscript[data-long]"));
  const near = new IntersectionObserver((entries) => {
    const holders = entries.filter((entry) => entry.isIntersecting).map((entry) => entry.target);
    if (holders.length) later(() => holders.forEach((holder) => make($("table.data[data-page], noscript[data-long]", holder))));
  }, { rootMargin: "300px" });
  unmade.forEach((node) => near.observe(node.parentNode));
  function makeNext() {
    const node = Array.from(unmade).find((one) => one.matches("table, noscript[data-long=soon]"));
    if (!node) return stock();
    make(node);
    later(makeNext);
  }
  window.addEventListener("load", () => later(makeNext));
  function make(node) {
    if (!unmade.delete(node)) return;
    const holder = node.parentNode;
    const focused = holder.contains(document.activeElement) ? document.activeElement : null;
    near.unobserve(holder);
    let table = node;
    if (node.matches("noscript")) {
      // Made beside the page: inside it all its rows would be laid out once, though most are put away at once.
      const made = document.createElement("div");
      made.innerHTML = node.textContent;
      table = $("table", made);
      tabulate(table);
      node.replaceWith(...made.childNodes);
      tellWidth(holder);
    } else tabulate(table);
    if (focused) focused.focus(); // what is moved within the page loses it
    if (table.id === "slice-table") tellSlices();
    else if (state.task) filterTask(table.id);
  }

  let slices = null;
  const column = (name) => $$("#slice-table thead th").findIndex((head) => head.dataset.name === name);
  function exact(index, text) {
    slices.column(index).search(text ? (cell) => cell === text : "");
  }
  let filtering = false;
  function filterSlices() {
    if (!slices) return;
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
  function tellSlices() {
    slices = tables["slice-table"];
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
    $("#export").addEventListener("click", () => saveCsv("slice-table", "slices.csv"));
    filterSlices();
  }
  function saveCsv(id, file) {
    make(Array.from(unmade).find((node) => node.id === id || node.textContent.includes(`id="${id}"`)));
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
  $$("button[data-export]").forEach((button) => button.addEventListener("click", () => saveCsv(button.dataset.export, button.dataset.file)));

  /* ---- Task ---- */

  function showTask() {
    if ($("#task")) $("#task").value = state.task || "";
    $$(".block[data-task], #shift [data-task]").forEach((block) => { block.hidden = Boolean(state.task) && block.dataset.task !== state.task; });
    filterSlices();
    for (const id in tables) if (id !== "slice-table") filterTask(id);
  }
  function filterTask(id) {
    const name = state.task && $(`#task option[value="${CSS.escape(state.task)}"]`);
    // A page may let the reader choose something else than a task, by the column of that name.
    const chosen = ($("#task") && $("#task").dataset.column) || "Task";
    const place = $$("#" + id + " thead th").findIndex((head) => head.textContent === chosen);
    if (place >= 0) tables[id].column(place).search(name ? (cell) => cell === name.textContent : "").draw();
  }
  if ($("#task")) $("#task").addEventListener("change", (event) => {
    state.task = event.target.value;
    if (state.gtask) state.gtask = state.task;
    save();
    showTask();
    filterCards();
  });

  /* ---- Gallery: cards and filmstrips stand in a noscript, as text; those in view are made real ---- */

  const filters = $$("[data-filter]");
  const sliceFilter = $("[data-filter=slice]");
  const keyOf = { model: "model", task: "gtask", corruption: "corruption", severity: "severity", slice: "gslice", pick: "pick" };
  const gallery = $("#gallery");
  let shelves = null;
  let examples = [];

  function stock() {
    if (shelves) return;
    const store = $("#store noscript");
    if (store) store.parentNode.innerHTML = store.textContent;
    shelves = [shelve("#cards", "#more", FIRST), shelve("#films", "#more-films", FIRST / 2)].filter(Boolean);
    examples = shelves.flatMap((shelf) => shelf.all);
    filterCards();
  }
  // As pictures come near or when there is time: their text is long.
  const pictured = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    pictured.disconnect();
    setTimeout(stock);
  }, { rootMargin: "300px" });
  $$("section").forEach((node) => { if ($(".picture, .cards", node)) pictured.observe(node); });

  function shelve(id, more, first) {
    const holder = $(id);
    if (!holder) return null;
    const template = document.createElement("template");
    template.innerHTML = $("noscript", holder).textContent;
    const shelf = { holder, more: $(more), empty: $(id === "#cards" ? "#gallery-empty" : "#films-empty"), first, shown: first, all: $$(".example", template.content), chosen: [] };
    for (const card of shelf.all) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = "Look closer";
      button.setAttribute("aria-label", "Look closer: " + $("h3, h4", card).textContent + ", " + card.dataset.example);
      button.addEventListener("click", () => open(card.dataset.example));
      card.append(button);
      $(".panels, .strip-of-film", card).addEventListener("click", () => open(card.dataset.example));
    }
    holder.textContent = "";
    shelf.more.addEventListener("click", () => {
      const before = shelf.shown;
      shelf.shown += first;
      showCards(shelf);
      const next = holder.children[before];
      if (next) $("button", next).focus();
    });
    return shelf;
  }
  filters.forEach((select) => select.addEventListener("change", () => {
    state[keyOf[select.dataset.filter]] = select.value;
    save();
    filterCards();
  }));

  function wanted(name) {
    return name === "task" ? state.gtask || state.task || "" : state[keyOf[name]] || "";
  }

  function matches(card, name) {
    if (name === "pick" && card.matches(".film")) return true;
    if (name !== "slice") return card.dataset[name] === wanted(name);
    const option = sliceFilter && sliceFilter.selectedOptions[0]; // none where the address names one that is not there
    return Boolean(option) && card.dataset.slices.split(" ").includes(option.dataset.place);
  }

  function filterCards() {
    if (!shelves) return;
    filters.forEach((select) => { select.value = wanted(select.dataset.filter); });
    const names = Object.keys(keyOf).filter((name) => wanted(name) !== "");
    for (const shelf of shelves) {
      shelf.chosen = shelf.all.filter((card) => names.every((name) => matches(card, name)));
      shelf.shown = shelf.first;
      showCards(shelf);
      shelf.empty.hidden = shelf.chosen.length > 0;
      if (!shelf.chosen.length && shelf.holder.id === "cards") nearest(shelf);
    }
  }

  function showCards(shelf) {
    shelf.holder.replaceChildren(...shelf.chosen.slice(0, shelf.shown));
    shelf.more.hidden = shelf.shown >= shelf.chosen.length;
    if (shelf.holder.id === "cards") $("#gallery-count").textContent = `${Math.min(shelf.shown, shelf.chosen.length)} of ${shelf.chosen.length} shown`;
  }

  function nearest({ all, empty }) {
    // The same task if possible, then the same slice, corruption and model, then the nearest severity.
    const severity = Number(wanted("severity") || 3);
    const costs = { task: 1000, slice: 400, corruption: 200, model: 100 };
    const far = (card) => Object.entries(costs).reduce((sum, [name, cost]) => sum + (wanted(name) && !matches(card, name) ? cost : 0), Math.abs(Number(card.dataset.severity) - severity));
    const best = all.reduce((a, b) => (far(b) < far(a) ? b : a));
    empty.textContent = "No picture of this. ";
    const link = document.createElement("a");
    link.href = "#gallery";
    link.textContent = "The nearest with pictures: " + heading(best);
    link.addEventListener("click", (event) => {
      event.preventDefault();
      event.stopPropagation();
      follow("gallery", { gtask: best.dataset.task, model: best.dataset.model, corruption: best.dataset.corruption, severity: best.dataset.severity, gslice: matches(best, "slice") ? state.gslice : "", pick: "" });
    });
    empty.append(link);
  }

  function heading(card) {
    return $("h3, h4", card).textContent.replace(/\s+/g, " ").trim();
  }

  /* ---- The viewer ---- */

  const viewer = $("#viewer");
  const slider = $("#viewer-severity");
  let opener = null;
  let steps = [];

  function open(id) {
    opener = document.activeElement;
    state.open = id;
    state.at = "";
    save(true);
    view();
  }

  // The same frame, model and task at the severities of one corruption, as far as there are pictures; clean counts.
  function series(card) {
    if (card.matches(".film") || card.dataset.severity === "0") return [card];
    const same = (one) => !one.matches(".film") && ["model", "task", "frame"].every((name) => one.dataset[name] === card.dataset[name])
      && (one.dataset.severity === "0" || one.dataset.corruption === card.dataset.corruption);
    return examples.filter(same).sort((a, b) => a.dataset.severity - b.dataset.severity);
  }

  function view() {
    if (!viewer || !shelves) return;
    const card = state.open && examples.find((one) => one.dataset.example === state.open);
    if (!card) { if (viewer.open) viewer.close(); return; }
    steps = series(card);
    slider.max = steps.length - 1;
    $("#viewer-series").hidden = steps.length < 2;
    $("#viewer-steps").replaceChildren(...steps.map((one) => {
      const item = document.createElement("li");
      item.textContent = `${one.dataset.severity === "0" ? "clean" : one.dataset.severity}: ${one.dataset.score}`;
      return item;
    }));
    show(steps.find((one) => one.dataset.severity === state.at) || card);
    const { chosen } = shelves.find((shelf) => shelf.all.includes(card));
    const place = chosen.indexOf(card);
    $("#previous").disabled = place <= 0;
    $("#next").disabled = place < 0 || place >= chosen.length - 1;
    if (!viewer.open) viewer.showModal();
  }

  // One step of the series: the slider stays as it is, or it would lose the focus.
  function show(card) {
    const place = steps.indexOf(card);
    const where = $("h3, h4", card).firstChild.textContent.trim();
    slider.value = place;
    $("#viewer-at").textContent = `${where}: score ${card.dataset.score}`;
    slider.setAttribute("aria-valuetext", $("#viewer-at").textContent);
    $$("#viewer-steps li").forEach((item, i) => { if (i === place) item.setAttribute("aria-current", "step"); else item.removeAttribute("aria-current"); });
    $("#viewer-title").textContent = heading(card);
    const body = $("#viewer-body");
    body.replaceChildren(...Array.from(card.children).filter((node) => !node.matches("h3, h4, button")).map((node) => node.cloneNode(true)));
    const boxes = data.overlays.boxes[card.dataset.example];
    $("#viewer-layers").hidden = !boxes && !card.matches(".film");
    if (boxes) {
      const figure = $(".panels", body).lastElementChild;
      figure.classList.add("large");
      annotate($("svg", figure), boxes);
    }
    $("#viewer-command").textContent = command(card);
    $("#viewer-copied").textContent = "";
    $("#viewer-hand").hidden = true;
  }

  function command({ dataset }) {
    const quoted = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : "'" + text.replace(/'/g, "'\\''") + "'");
    // The corruption stands in the query: as an option a name could be a family's, too.
    const text = dataset.corruption.replace(/[\\"]/g, "\\$&");
    const query = `frame_id == ${dataset.frame} and corruption == "${text}"`;
    return [viewer.dataset.command, "--model", quoted(dataset.model), "--task", dataset.task, "--severity", dataset.severity, "--where", quoted(query), ...("right" in dataset ? ["--right-too"] : [])].join(" ");
  }

  function annotate(svg, sides) {
    $$("path", svg).forEach((path) => path.remove());
    const make = (name, attributes) => {
      const node = document.createElementNS(SVG, name);
      for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
      return node;
    };
    sides.forEach((items, place) => {
      const side = ["truth", "prediction"][place];
      const group = make("g", { class: "side-" + side });
      for (const [x0, y0, x1, y1, name, match, score, id, outline] of items) {
        const state = data.overlays.states[match];
        const style = state === "ignored" ? "ignored" : state === "false positive" ? "prediction-false" : side + "-" + state;
        const rings = (outline || []).map((ring) => "M" + ring.reduce((text, v, i) => text + (i && i % 2 === 0 ? "L" : i ? " " : "") + v, "") + "Z");
        group.append(make("path", { class: style, d: rings.join("") || `M${x0} ${y0}H${x1}V${y1}H${x0}Z` }));
        if (side === "truth" && state === "matched") continue;
        const label = make("text", { x: x0 + 1, y: side === "truth" ? y1 - 1.5 : Math.max(6, y0 - 1.5) });
        label.textContent = data.overlays.names[name] + (id === undefined || id === null ? "" : " #" + id) + (score === undefined || score === null ? "" : " " + score.toFixed(2));
        group.append(label);
      }
      svg.append(group);
    });
  }

  // The clipboard is not everywhere (nor always allowed) where a page is opened from disk: then the text to copy by hand.
  async function copy(text, what) {
    const field = $("#viewer-text");
    field.value = text;
    try {
      await navigator.clipboard.writeText(text);
      $("#viewer-hand").hidden = true;
      $("#viewer-copied").textContent = what + " copied.";
    } catch (error) {
      $("#viewer-copied").textContent = "";
      $("#viewer-hand").hidden = false;
      field.focus();
      field.select();
    }
  }

  if (viewer) {
    const step = (by) => {
      const shelf = shelves.find(({ chosen }) => chosen.some((card) => card.dataset.example === state.open));
      const place = shelf ? shelf.chosen.findIndex((card) => card.dataset.example === state.open) + by : -1;
      if (place < 0 || place >= shelf.chosen.length) return;
      state.open = shelf.chosen[place].dataset.example;
      state.at = "";
      if (place >= shelf.shown) { shelf.shown = place + 1; showCards(shelf); }
      save();
      view();
    };
    $("#previous").addEventListener("click", () => step(-1));
    $("#next").addEventListener("click", () => step(1));
    $("#close").addEventListener("click", () => viewer.close());
    $("#copy-link").addEventListener("click", () => copy(location.href, "Link"));
    $("#copy-command").addEventListener("click", () => copy($("#viewer-command").textContent, "Command"));
    slider.addEventListener("input", () => {
      const card = steps[Number(slider.value)];
      state.at = card.dataset.example === state.open ? "" : card.dataset.severity;
      save();
      show(card);
    });
    viewer.addEventListener("click", (event) => { if (event.target === viewer) viewer.close(); });
    viewer.addEventListener("keydown", (event) => {
      if (event.target.matches("input[type=range], input[readonly]")) return;
      if (event.key === "ArrowLeft") step(-1);
      if (event.key === "ArrowRight") step(1);
    });
    viewer.addEventListener("close", () => {
      const last = state.open && examples.find((card) => card.dataset.example === state.open);
      state.open = state.at = "";
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
      follow(place, { gtask: given.task || "", model: given.model || "", corruption: given.corruption || "", severity: given.severity || "", gslice: given.slice || "", pick: "" });
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
    // What the gallery holds moves all that comes after it.
    if (state.open || (target && gallery && !(target.compareDocumentPosition(gallery) & Node.DOCUMENT_POSITION_FOLLOWING))) stock();
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

  const unfolded = [];
  const lengths = [];
  window.addEventListener("beforeprint", () => {
    stock();
    unmade.forEach(make);
    $$(".block[hidden]").forEach((block) => { block.hidden = false; });
    Array.from(waiting).forEach(draw);
    for (const details of $$("details:not([open])")) {
      unfold(details);
      details.open = true;
      unfolded.push(details);
    }
    for (const table of Object.values(tables)) {
      lengths.push(table.page.len());
      table.page.len(-1).draw();
    }
    paint(true);
    // Drawn for the screen's width: with a box of their own they can be scaled to the paper's.
    for (const svg of $$(".main-svg")) svg.setAttribute("viewBox", `0 0 ${svg.getAttribute("width")} ${svg.getAttribute("height")}`);
  });
  window.addEventListener("afterprint", () => {
    unfolded.splice(0).forEach((details) => { details.open = false; });
    $$(".main-svg").forEach((svg) => svg.removeAttribute("viewBox"));
    const before = lengths.splice(0);
    Object.values(tables).forEach((table, place) => table.page.len(before[place]).draw());
    showTask();
    paint();
  });

  parseHash();
  paint();
  apply();
})();
