/** The form: what a person asks for, and what is wrong with it. */

import { build, element, icon, safeUrl, setText, unseen } from "./dom.js";
import { apiBase } from "./api.js";
import { shownHits } from "./cards.js";
import { keepPicture, listenForPictures, pictureNamed } from "./pictures.js";
import { addressSearch, canBeAsked, inItsPlace, ofAnybody, searchIn, withFilter } from "./search.js";
import { number } from "./words.js";

const form = element("search");
const everything = element("everything");
const place = element("place"); // where to search, in place of that where there are collections
const OF_A_KEYWORD = "", EVERYTHING = "everything", OF_A_COLLECTION = "collection:"; // of which its name follows
const fields = { s_query: element("query"), t: element("keyword"), minus: element("minus") };
const LIMITS = { s_query: 500, t: 100, minus: 500 }; // characters, as the API counts them
const MOST_MINUS = 5;
const NAMES = { s_query: "description", t: "keyword", minus: "text after “without”" };

let collectionNames = [];
let kept = {}; // the search of the address, for what the form has no field for
const pictureUrls = new Map(); // image_id -> URL, of pictures that were asked for more of

const typed = (name) => fields[name].value.trim() || undefined;
const listed = (text) => (text ?? "").split(/[,،、，]/).map((item) => item.trim()).filter(Boolean);

/** The search that the form says, with what the address has beside it. */
export function formSearch() {
  const { scope, collection } = chosenPlace();
  const filters = scope ? withFilter(kept.filters, "collection", collection) : ofAnybody(kept.filters);
  return inItsPlace({ ...kept, s_query: typed("s_query"), t: typed("t"), minus: listed(typed("minus")), scope, filters });
}

/** Where the form says to search: {scope, collection}, both undefined for the keyword's pictures. */
function chosenPlace() {
  if (element("place-option").hidden) return { scope: everything.checked ? "catalog" : undefined };
  const { value } = place;
  const collection = value.startsWith(OF_A_COLLECTION) ? value.slice(OF_A_COLLECTION.length) : undefined;
  return { scope: value === OF_A_KEYWORD ? undefined : "catalog", collection };
}

/** Have the form say where to search; of a collection there is a choice even if nothing is known of it. */
function showPlace({ scope, collection }) {
  const names = collection && !collectionNames.includes(collection) ? [...collectionNames, collection] : collectionNames;
  const options = names.map((name) => build("option", { value: OF_A_COLLECTION + name, textContent: name }));
  place.replaceChildren(
    build("option", { value: OF_A_KEYWORD, textContent: "pictures by keyword" }),
    build("option", { value: EVERYTHING, textContent: "everything stored" }),
    build("optgroup", { label: "Your collections" }, ...options),
  );
  place.value = collection ? OF_A_COLLECTION + collection : scope ? EVERYTHING : OF_A_KEYWORD;
  everything.checked = Boolean(scope);
  element("place-option").hidden = !names.length;
  element("everything-option").hidden = names.length > 0;
}

/** Have the collections *known*, as the API tells of them, on offer. */
export function setPlaces(known) {
  const chosen = chosenPlace();
  collectionNames = known.map(({ name }) => name);
  showPlace(chosen);
}

/** Put the address into the form. */
export function fillForm() {
  kept = addressSearch();
  fields.s_query.value = kept.s_query ?? "";
  fields.t.value = kept.t ?? "";
  fields.minus.value = kept.minus.join(", ");
  showPlace({ scope: kept.scope, collection: kept.filters.collection });
  showParts();
}

/** A keyword or everything: what is said last is meant. */
function followInput({ target }) {
  const isPlace = target === everything || target === place;
  if (isPlace && chosenPlace().scope) fields.t.value = "";
  if (target === fields.t && typed("t")) showPlace({});
  clearError(isPlace ? fields.t : target);
}

export function chooseKeyword(keyword) {
  showPlace({});
  fields.t.value = keyword;
  clearError(fields.t);
  if (typed("s_query")) reveal(fields.t).select();
  else fields.s_query.focus();
}

/** Search in the collection of that name: what lacks is the sentence. */
export function chooseCollection(name) {
  fields.t.value = "";
  showPlace({ scope: "catalog", collection: name });
  focusSentence();
}

/** Write a new search: what was there is selected. */
export function focusSentence() {
  fields.s_query.focus();
  fields.s_query.select();
}

/** How an example begins that the fields show while they are empty. */
export function setPlaceholder({ s_query: sentence }) {
  fields.s_query.placeholder = sentence;
}

// ---------------------------------------------------------------- pictures to search by

function showParts() {
  for (const hit of shownHits()) pictureUrls.set(hit.image_id, hit.url);
  const stored = kept.like.map((imageId) => part("Like this picture", safeUrl(pictureUrls.get(imageId), apiBase()), { like: kept.like.filter((other) => other !== imageId) }));
  const own = kept.picture && part("Your picture", pictureNamed(kept.picture)?.url, { picture: undefined });
  element("parts").replaceChildren(...stored, ...(own ? [own] : []));
}

/** A picture that is searched by; taking it out leaves a search that *change* says. */
function part(name, url, change) {
  const picture = url ? build("img", { src: url, alt: name, width: 48, height: 48 }) : icon("picture");
  const remove = build("button", { type: "button", className: "remove", onclick: () => takeOut(change) }, icon("close"), unseen(`Take out: ${name}`));
  return build("li", {}, picture, remove);
}

function takeOut(change) {
  kept = { ...kept, ...change };
  showParts();
  const search = formSearch();
  if (canBeAsked(search)) send(search);
  else focusSentence();
}

export const choosePicture = () => element("picture-file").click();

async function takePicture(file) {
  const picture = await keepPicture(file);
  if (!picture) return sayOf("s_query", "This picture cannot be read. JPEG, PNG and WebP always can.");
  const joins = isUnanswered();
  kept = { ...kept, picture };
  send(joins ? formSearch() : searchIn(chosenPlace().collection, { picture }));
}

/** True when the form says what no search found: a picture joins it. Of what was found it takes the place. */
function isUnanswered() {
  const sent = addressSearch();
  const lacksItsPicture = Boolean(sent.picture) && !pictureNamed(sent.picture);
  const said = { s_query: typed("s_query") ?? "", t: typed("t") ?? "", minus: listed(typed("minus")).join() };
  const asked = { s_query: sent.s_query ?? "", t: sent.t ?? "", minus: sent.minus.join() };
  return !canBeAsked(sent) || lacksItsPicture || Object.keys(said).some((name) => said[name] !== asked[name]);
}

// ---------------------------------------------------------------- what is wrong

/** Say beside its field what is wrong with *search*; returns true when something is. */
export function complain(search) {
  const complaints = Object.keys(fields).map((name) => [name, complaint(name, search)]).filter(([, text]) => text);
  for (const [name, text] of complaints) showError(fields[name], text);
  if (complaints.length) reveal(fields[complaints[0][0]]);
  return complaints.length > 0;
}

function complaint(name, search) {
  if (name === "s_query" && !canBeAsked(search)) return "Describe what should be in the picture, or choose one.";
  if (name === "minus" && search.minus.length > MOST_MINUS) return `At most ${MOST_MINUS} things can be left out, and these are ${number(search.minus.length)}.`;
  const count = Math.max(0, ...[search[name] ?? ""].flat().map((text) => [...text].length));
  if (count <= LIMITS[name]) return null;
  return `The ${NAMES[name]} has ${number(count)} characters; at most ${number(LIMITS[name])} can be read.`;
}

/** Show at *field* what went wrong with it; returns false when the form has none of that name. */
export function showFailure(field, text) {
  const name = field === "picture" || field === "like" ? "s_query" : field;
  if (!(name in fields)) return false;
  sayOf(name, text);
  return true;
}

function sayOf(name, text) {
  showError(fields[name], text);
  reveal(fields[name]);
}

function showError(input, text) {
  input.setAttribute("aria-invalid", "true");
  setText(`${input.id}-error`, text);
}

/** Go to *input*, and open the options where they are folded and it is among them. */
function reveal(input) {
  if (element("options").contains(input)) openOptions(true);
  input.focus();
  return input;
}

function clearError(input) {
  if (!Object.values(fields).includes(input)) return;
  input.removeAttribute("aria-invalid");
  setText(`${input.id}-error`, "");
}

export const clearErrors = () => Object.values(fields).forEach(clearError);

// ---------------------------------------------------------------- sending it off

let go = () => {};

const openOptions = (isOpen) => element("options-button").setAttribute("aria-expanded", String(isOpen));

/** Send *search* off; returns false where something is wrong with it, and says so. */
function send(search) {
  clearErrors();
  if (complain(search)) return false;
  openOptions(false);
  go(search);
  return true;
}

/** Search what the form says, with *value* for the filter *name*, or without it for ""; of own pictures there is no keyword. Returns as `send`. */
export function sendFiltered(name, value) {
  const search = formSearch();
  return send({ ...search, filters: withFilter(search.filters, name, value) });
}

/** Have *run* told of each search that is sent off and may be. */
export function listenToForm(run) {
  go = run;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(formSearch());
  });
  form.addEventListener("input", followInput);
  element("options-button").addEventListener("click", (event) => {
    openOptions(event.currentTarget.getAttribute("aria-expanded") !== "true");
  });
  element("choose").addEventListener("click", choosePicture);
  listenForPictures(element("picture-file"), takePicture);
}
