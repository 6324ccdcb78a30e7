/** What an answer can be narrowed down by: chips, made of what its pictures are. */

import { collectionNames } from "./collections.js";
import { build, element, icon, unseen } from "./dom.js";
import { chooseKeyword, sendFiltered } from "./form.js";
import { FILTERS, OF_OWN, addressOf, without } from "./search.js";

const MOST_VALUES = 12; // of a filter
const MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
const SHAPES = { horizontal: "Landscape", vertical: "Portrait", square: "Square" };

/** By the filter's name: what all of it is called, what a hit has of it, and what that is called. */
const FACETS = {
  collection: ["Any collection", ({ own }) => own?.collections ?? []],
  folder: ["Any folder", ({ own }) => foldersOf(own?.file ?? "")],
  album: ["Any album", ({ own }) => own?.albums ?? []],
  camera: ["Any camera", ({ own }) => [own?.camera]],
  orientation: ["Any shape", (hit) => [shapeOf(hit)], (value) => SHAPES[value] ?? value],
  colour: ["Any colour", ({ colours }) => colours],
  tag: ["Any tag", ({ tags }) => tags],
  user: ["By anyone", ({ credit }) => [credit?.user]],
  source: ["Any source", ({ credit }) => [credit?.source]],
  year: ["Any year", ({ year }) => [year]],
  month: ["Any month", ({ own, month }) => [own && month], monthName], // of others it is when they came to their source
};

const chips = new Map(); // name -> <select>, which keeps the focus
let base = null; // address of the search without its filters, of which values were seen
let seen = {};

let go = () => {};

/** Have *run* told of a search from which a filter was taken off. */
export function listenToFilters(run) {
  go = run;
}

function shapeOf({ width, height }) {
  if (!(width > 0 && height > 0)) return null;
  if (width === height) return "square";
  return width > height ? "horizontal" : "vertical";
}

/** All folders that *file* lies in: of `2019/Italy/1.jpg` `2019` and `2019/Italy`. */
function foldersOf(file) {
  const names = file.split("/").slice(0, -1);
  return names.map((_, i) => names.slice(0, i + 1).join("/"));
}

export const hideFilters = () => { element("chips").hidden = true; };

/** Show what *answer* to *search* can be narrowed down by, and which keywords it took. */
export function showFilters(answer, search) {
  remember(answer.results, search);
  const shown = FILTERS.map((name) => filterChip(name, search)).filter(Boolean);
  const keywords = search.t ? [] : (answer.keywords ?? []).map(keywordChip);
  const items = [...keywords, ...shown];
  const focused = document.activeElement;
  element("chips").replaceChildren(...items);
  element("chips").hidden = !items.length;
  if (items.includes(focused)) focused.focus();
}

/** Search without what *search* says by the name of a field. */
export const takeOff = (search, name) => go(without(search, name));

/** Count what the hits have. A filter leaves one value: the others, seen before it, stay on offer. */
function remember(hits, search) {
  const { collection } = search.filters;
  const address = addressOf({ ...search, filters: collection ? { collection } : {} });
  if (address !== base) seen = {};
  base = address;
  for (const name of FILTERS) {
    seen[name] ??= new Map();
    if (search.filters[name]) continue;
    seen[name] = counted(hits.flatMap(FACETS[name][1]).filter(Boolean).map(String), hits.length);
  }
}

/** Values by how many have them, without those that all have. */
function counted(values, total) {
  const counts = new Map();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  const telling = [...counts].filter(([, count]) => count < total).sort(([, one], [, other]) => other - one);
  return new Map(telling.slice(0, MOST_VALUES));
}

function filterChip(name, search) {
  const chosen = search.filters[name];
  const values = name === "collection" && chosen ? collectionNames() : [...seen[name].keys()];
  if (chosen && !values.includes(chosen)) values.unshift(chosen);
  const least = OF_OWN.includes(name) ? 1 : 2; // one is a choice where other pictures have none
  if (values.length < least && !chosen) return null;
  const [label, , nameOf = String] = FACETS[name];
  const chip = chips.get(name) ?? build("select", { className: "chip", ariaLabel: label });
  chips.set(name, chip);
  chip.replaceChildren(build("option", { value: "", textContent: label }), ...values.map((value) => build("option", { value, textContent: nameOf(value) })));
  chip.value = chosen ?? "";
  chip.classList.toggle("chosen", Boolean(chosen));
  chip.dataset.name = name;
  chip.onchange = () => {
    if (!sendFiltered(name, chip.value)) chip.value = chosen ?? "";
  };
  return chip;
}

/** A keyword that the server took from the sentence, and that a person may know better. */
function keywordChip(keyword) {
  const word = build("bdi", { textContent: keyword });
  const onclick = () => chooseKeyword(keyword);
  return build("button", { type: "button", className: "chip", onclick }, unseen("Change the keyword "), word, icon("change"));
}

function monthName(month) {
  return MONTHS[month - 1] ?? String(month);
}

/** 8 and 2019 as "August 2019"; without a month the year, and without a year "". */
export const dateOf = ({ year, month }) => [month && MONTHS[month - 1], year].filter(Boolean).join(" ");
