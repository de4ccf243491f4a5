"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const count = data.parent.length;
  const types = { d: "directory", f: "file", s: "symbolic link or socket", c: "character device", b: "block device", w: "whiteout" };
  const by = (id) => document.getElementById(id);
  // A name may hold characters that break lines or turn their direction: those are spelled out.
  const odd = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;
  const plain = (text) => String(text).replace(odd, (char) => "\\u" + char.charCodeAt(0).toString(16).padStart(4, "0"));
  const make = (tag, text, attributes) => {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = plain(text);
    for (const [name, value] of Object.entries(attributes || {})) element.setAttribute(name, value);
    return element;
  };
  const color = (layer) => (data.layers[layer] === "host" ? "hsl(210 10% 75%)" : `hsl(${(layer * 67 + 25) % 360} 70% 70%)`);

  const children = new Array(count);
  const totals = new Float64Array(count);
  for (let row = count - 1; row >= 0; row--) {
    totals[row] += data.size[row];
    if (row) {
      totals[data.parent[row]] += totals[row];
      (children[data.parent[row]] ||= []).push(row);
    }
  }
  for (const list of children) if (list) list.reverse();
  const path = (row) => {
    const names = [];
    for (let at = row; at > 0; at = data.parent[at]) names.push(data.name[at]);
    return "/" + names.reverse().join("/");
  };
  const bytes = (size) => {
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let unit = 0;
    while (size >= 1024 && unit < 4) { size /= 1024; unit++; }
    return (unit ? size.toFixed(1) : size) + " " + units[unit];
  };

  by("blocked").hidden = !data.blocked;
  by("summary").textContent = `${count} paths, ${bytes(totals[0])}, ${Object.keys(data.stories).length} in several layers`;
  data.layers.forEach((name, layer) => {
    const item = make("li");
    const swatch = make("span", "", { class: "swatch" });
    swatch.style.background = color(layer);
    item.append(swatch, plain(name));
    by("legend").append(item);
    by("layer").append(make("option", name, { value: layer }));
  });

  // The tree: only rows in sight are in the document.
  const open = new Set([0]);
  let rows = [], depths = [], places = [], chosen = 0, filter = null;
  const HEIGHT = 22;
  const tree = by("tree");
  const spacer = make("div");
  tree.append(spacer);

  const list = () => {
    rows = []; depths = []; places = [];
    const stack = [[0, 0, 1, 1]];
    while (stack.length) {
      const [row, depth, place, siblings] = stack.pop();
      rows.push(row); depths.push(depth); places.push([place, siblings]);
      if ((filter || open.has(row)) && children[row]) {
        const below = filter ? children[row].filter((one) => filter.has(one)) : children[row];
        for (let i = below.length - 1; i >= 0; i--) stack.push([below[i], depth + 1, i + 1, below.length]);
      }
    }
    spacer.style.height = rows.length * HEIGHT + "px";
    draw();
  };
  const draw = () => {
    tree.querySelectorAll("[role=treeitem]").forEach((element) => element.remove());
    const first = Math.max(0, Math.floor(tree.scrollTop / HEIGHT) - 5);
    const last = Math.min(rows.length, first + Math.ceil(tree.clientHeight / HEIGHT) + 10);
    for (let i = first; i < last; i++) {
      const row = rows[i];
      const attributes = { role: "treeitem", id: "row" + row, "aria-level": depths[i] + 1, "aria-selected": row === chosen };
      [attributes["aria-posinset"], attributes["aria-setsize"]] = places[i];
      if (children[row]) attributes["aria-expanded"] = Boolean(filter) || open.has(row);
      const element = make("div", "", attributes);
      element.style.top = i * HEIGHT + "px";
      element.style.paddingLeft = 6 + depths[i] * 16 + "px";
      const swatch = make("span", "", { class: "swatch" });
      swatch.style.background = color(data.layer[row]);
      const sign = children[row] ? (filter || open.has(row) ? "▾ " : "▸ ") : "  ";
      element.append(sign, swatch, plain(data.name[row]));
      element.title = plain(`${path(row)} (${data.layers[data.layer[row]]})`);
      if (data.type[row] !== "d" && data.stories[row]) element.classList.add("conflict");
      element.dataset.row = row;
      tree.append(element);
    }
    tree.setAttribute("aria-activedescendant", "row" + chosen);
  };
  tree.addEventListener("scroll", draw);
  const choose = (row, scroll) => {
    chosen = row;
    tell(row);
    if (scroll) {
      const at = rows.indexOf(row) * HEIGHT;
      if (at < tree.scrollTop) tree.scrollTop = at;
      else if (at + HEIGHT > tree.scrollTop + tree.clientHeight) tree.scrollTop = at + HEIGHT - tree.clientHeight;
    }
    draw();
  };
  const toggle = (row, to) => {
    if (!children[row] || filter) return;
    if (to === undefined ? open.has(row) : !to) open.delete(row);
    else open.add(row);
    list();
  };
  tree.addEventListener("click", (event) => {
    const element = event.target.closest("[role=treeitem]");
    if (!element) return;
    const row = Number(element.dataset.row);
    choose(row, false);
    toggle(row);
  });
  tree.addEventListener("keydown", (event) => {
    const at = rows.indexOf(chosen);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 15, PageUp: -15, Home: -rows.length, End: rows.length };
    if (event.key in steps) choose(rows[Math.min(rows.length - 1, Math.max(0, at + steps[event.key]))], true);
    else if (event.key === "ArrowRight") toggle(chosen, true);
    else if (event.key === "ArrowLeft") {
      if (open.has(chosen) && children[chosen]) toggle(chosen, false);
      else if (chosen) choose(data.parent[chosen], true);
    } else if (event.key === "Enter" || event.key === " ") toggle(chosen);
    else return;
    event.preventDefault();
  });

  const table = (id, head, lines, mark) => {
    if (!lines.length) return;
    by(id + "-box").hidden = false;
    const top = make("tr");
    head.forEach((text) => top.append(make("th", text, { scope: "col" })));
    by(id).append(top);
    lines.slice(0, 2000).forEach((line) => {
      const row = make("tr");
      line.forEach((text) => row.append(make("td", text)));
      if (mark && mark(line)) row.className = "refused";
      by(id).append(row);
    });
    if (lines.length > 2000) by(id + "-box").append(make("p", `and ${lines.length - 2000} more`));
  };
  const tell = (row) => {
    const box = by("story");
    box.replaceChildren(make("p", `${path(row)}: ${types[data.type[row]] || data.type[row]}, ${bytes(totals[row])}, of ${data.layers[data.layer[row]]}`));
    const sides = data.stories[row];
    if (!sides) return;
    const told = make("ul");
    sides.forEach(([layer, kind, role, why, from]) => {
      told.append(make("li", `${layer}: ${kind}, ${role}${why ? ": " + why : ""}${from ? " (in " + from + ")" : ""}`));
    });
    box.append(told);
  };

  const search = () => {
    const text = by("search").value.toLowerCase(), layer = by("layer").value, conflicts = by("conflicts").checked;
    let hits = 0;
    if (!text && layer === "" && !conflicts) filter = null;
    else {
      filter = new Set([0]);
      for (let row = 1; row < count; row++) {
        if (text && !data.name[row].toLowerCase().includes(text) && !(text.includes("/") && path(row).toLowerCase().includes(text))) continue;
        if (layer !== "" && data.layer[row] !== Number(layer)) continue;
        if (conflicts && !(data.stories[row] && data.type[row] !== "d")) continue;
        hits++;
        for (let at = row; at > 0 && !filter.has(at); at = data.parent[at]) filter.add(at);
      }
    }
    by("found").textContent = filter ? (hits === 1 ? "1 path found" : `${hits || "no"} paths found`) : "";
    tree.scrollTop = 0;
    list();
  };
  let timer = 0;
  by("search").addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(search, 120); });
  by("layer").addEventListener("change", search);
  by("conflicts").addEventListener("change", search);

  // The treemap: the largest children of one directory, each as large as its share; a click goes down.
  let top = 0;
  const map = by("map");
  const lay = () => {
    map.replaceChildren();
    by("where").textContent = path(top);
    const below = (children[top] || []).filter((row) => totals[row] > 0).sort((a, b) => totals[b] - totals[a]).slice(0, 200);
    let x = 0, y = 0, width = map.clientWidth, height = map.clientHeight;
    let left = below.reduce((sum, row) => sum + totals[row], 0);
    below.forEach((row) => {
      const share = left ? totals[row] / left : 0;
      const wide = width > height;
      const w = wide ? width * share : width, h = wide ? height : height * share;
      left -= totals[row];
      if (w > 1 && h > 1) {
        const label = `${data.name[row]} ${bytes(totals[row])}`;
        const title = plain(`${path(row)}: ${bytes(totals[row])}, ${data.layers[data.layer[row]]}`);
        const element = make("button", label, { type: "button", title });
        const item = make("div", undefined, { role: "listitem" });
        item.append(element);
        Object.assign(element.style, { left: x + "px", top: y + "px", width: w + "px", height: h + "px", background: color(data.layer[row]) });
        element.addEventListener("click", () => {
          choose(row, false);
          if (children[row]) { top = row; lay(); }
        });
        map.append(item);
      }
      if (wide) { x += w; width -= w; } else { y += h; height -= h; }
    });
  };
  by("up").addEventListener("click", () => { if (top) { top = data.parent[top]; lay(); } });

  table("extensions", ["Extension", "Outcome", "Rule", "Found", "Wanted", "What would help"], data.extensions, (line) => line[1] !== "accepted");
  table("hidden", ["Path", "Layer", "Why", "By"], data.hidden);
  table("problems", ["Rule", "Path", "Layer", "What"], data.problems);
  if ((children[0] || []).length < 30) for (const row of children[0] || []) open.add(row);
  list();
  lay();
  window.addEventListener("resize", lay);
})();
