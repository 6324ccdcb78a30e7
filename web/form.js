/** The form: what a person asks for, and what is wrong with it. */

import { announce, element, setText } from "./dom.js";
import { addressSearch, canBeAsked } from "./search.js";
import { number, quoted } from "./words.js";

const form = element("search");
const everything = element("everything");
const fields = { s_query: element("query"), t: element("keyword") };
const LIMITS = { s_query: 500, t: 100 }; // characters, as the API counts them
const NAMES = { s_query: "description", t: "keyword" };

let kept = { k: undefined, filters: {}, like: [] }; // of the address, what the form has no field for

const typed = (name) => fields[name].value.trim() || undefined;

/** The search that the form says. */
export function formSearch() {
  const scope = everything.checked ? "catalog" : undefined;
  return { s_query: typed("s_query"), t: scope ? undefined : typed("t"), scope, minus: [], like: [], filters: {}, k: kept.k };
}

/** Put the address into the form. */
export function fillForm() {
  const search = addressSearch();
  kept = search;
  for (const [name, field] of Object.entries(fields)) field.value = search[name] ?? "";
  everything.checked = search.scope === "catalog";
  syncScope();
}

export function syncScope() {
  fields.t.disabled = everything.checked;
  if (everything.checked) clearError(fields.t);
}

export function chooseKeyword(keyword) {
  everything.checked = false;
  syncScope();
  fields.t.value = keyword;
  clearError(fields.t);
  fields.s_query.focus();
}

/** Write a new search: what was there is selected. */
export function focusSentence() {
  fields.s_query.focus();
  fields.s_query.select();
}

/** How an example begins that the fields show while they are empty. */
export function setPlaceholders({ t, s_query }) {
  fields.t.placeholder = t;
  fields.s_query.placeholder = s_query;
}

// ---------------------------------------------------------------- what is wrong

/** Say beside its field what is wrong with *search*; returns true when something is. */
export function complain(search) {
  const complaints = Object.keys(fields).map((name) => [name, complaint(name, search)]).filter(([, text]) => text);
  for (const [name, text] of complaints) showError(fields[name], text);
  if (complaints.length) reveal(fields[complaints[0][0]]).focus();
  return complaints.length > 0;
}

function complaint(name, search) {
  if (name === "s_query" && !canBeAsked(search)) return "Describe what should be in the picture.";
  const count = [...(search[name] ?? "")].length;
  if (count <= LIMITS[name]) return null;
  return `The ${NAMES[name]} has ${number(count)} characters; at most ${number(LIMITS[name])} can be read.`;
}

/** Show *failure* at its field; returns false when it has none on the form. */
export function showFailure({ field, text }) {
  if (!(field in fields)) return false;
  const input = fields[field];
  showError(input, field === "t" && !typed("t") ? `Type a keyword, such as ${quoted(input.placeholder)}.` : text);
  if (input.disabled) announce(text);
  else reveal(input).focus();
  return true;
}

function showError(input, text) {
  input.setAttribute("aria-invalid", "true");
  setText(`${input.id}-error`, text);
}

/** Open the options where they are folded and *input* is among them. */
function reveal(input) {
  if (element("options").contains(input)) openOptions(true);
  return input;
}

function clearError(input) {
  input.removeAttribute("aria-invalid");
  setText(`${input.id}-error`, "");
}

export const clearErrors = () => Object.values(fields).forEach(clearError);

const openOptions = (isOpen) => element("options-button").setAttribute("aria-expanded", String(isOpen));

/** Have *go* told of each search that is sent off and may be. */
export function listenToForm(go) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    clearErrors();
    const search = formSearch();
    if (complain(search)) return;
    openOptions(false);
    go(search);
  });
  form.addEventListener("input", (event) => event.target !== everything && clearError(event.target));
  everything.addEventListener("change", syncScope);
  element("options-button").addEventListener("click", (event) => {
    openOptions(event.currentTarget.getAttribute("aria-expanded") !== "true");
  });
}
