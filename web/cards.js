/** The pictures found, as cards in rows of equal height. */

import { apiBase } from "./api.js";
import { sleep } from "./client.js";
import { EAGER, build, element, safeUrl, unseen } from "./dom.js";
import { addressOf, addressSearch, moreLike } from "./search.js";
import { MATCHES, altOf, creditOf, number } from "./words.js";

const [NARROWEST, WIDEST] = [0.5, 2.6]; // width / height, beyond which a card shows a part
const AT_ONCE = 12; // cards built between two frames: whole rows, and more than a telephone shows
const LONGEST_FRAME_MILLISECONDS = 100;
const LONGEST_WAIT_SECONDS = 2; // of pictures for those above them

const cards = new Map(); // image_id -> <li>, so that a picture that stays is not built again
const unfolded = new Map(); // image_id -> {ids, hits} that were folded under it: looked for, and there
const template = element("card").content.firstElementChild; // of a card
const first = []; // a promise for each of the EAGER pictures, kept once it is there or cannot be had
const below = []; // functions that ask for each of the others
let hits = []; // as shown
let collection; // that they are of, if they are of one

export const shownHits = () => hits;
export const cardOf = (imageId) => cards.get(imageId);

export function dropCards() {
  hits = [];
  element("cards").replaceChildren();
  cards.clear();
  foldAll();
}

/** Fold again what was unfolded, in what is shown next: that is another search. */
export const foldAll = () => unfolded.clear();

/**
 * Show the hits of an answer in their order, and what was unfolded beside them; cards already there
 * move, so no picture is loaded twice. The first are there at once, and all when the promise is kept,
 * unless another answer has taken their place.
 */
export async function showCards(answered) {
  const shown = (hits = withUnfolded(answered));
  ({ collection } = addressSearch().filters);
  shown.forEach((hit, i) => cards.has(hit.image_id) && bringUpToDate(cards.get(hit.image_id), hit, i + 1));
  for (;;) {
    const part = partOf(shown);
    layOut(part);
    if (part.length === shown.length) return;
    await drawn();
    if (hits !== shown) return;
  }
}

/** Those of *shown* that have a card, and some of the others: what a telephone builds without a pause that is felt. */
function partOf(shown) {
  let built = 0;
  return shown.filter((hit) => cards.has(hit.image_id) || built++ < AT_ONCE);
}

/** After the page has been drawn as it is, or soon: one that nobody sees is not drawn. */
function drawn() {
  return new Promise((resolve) => {
    requestAnimationFrame(() => setTimeout(resolve));
    setTimeout(resolve, LONGEST_FRAME_MILLISECONDS);
  });
}

/** When the browser has nothing more urgent to do; not each one can say so. */
const idle = () => new Promise((resolve) => (globalThis.requestIdleCallback ?? setTimeout)(resolve));

/** Have the cards of *part* of the hits, in its order, on the page, and no others. */
function layOut(part) {
  const list = element("cards");
  const focused = document.activeElement;
  const ranks = new Map(hits.map((hit, i) => [hit, i + 1]));
  const items = part.map((hit) => cards.get(hit.image_id) ?? newCard(hit, ranks.get(hit)));
  items.forEach((item, i) => list.children[i] !== item && list.insertBefore(item, list.children[i] ?? null));
  while (list.children.length > items.length) list.lastChild.remove();
  for (const [id, item] of cards) if (!item.isConnected) cards.delete(id);
  if (list.contains(focused)) focused.focus({ preventScroll: true });
  if (below.length) askForThoseBelow();
}

/**
 * Ask for the pictures below when the first are there: they would take from their share of a slow
 * network. Who comes back to a place further down is shown that.
 */
async function askForThoseBelow() {
  const asking = below.splice(0);
  if (!history.state?.y) await Promise.race([Promise.all(first).then(idle), sleep(LONGEST_WAIT_SECONDS)]);
  for (const ask of asking) ask();
}

/** Have a card say what a new answer says of its picture. */
function bringUpToDate(card, hit, rank) {
  showMatch(card.querySelector(".match-word"), hit);
  showSimilar(card.querySelector(".similar"), hit);
  card.querySelector(".like").href = addressOf(moreLike(hit.image_id, collection));
  for (const place of card.querySelectorAll(".rank")) place.textContent = rank;
}

/** Offer what looks the same and was folded under this picture. */
function showSimilar(button, { similar }) {
  button.hidden = !similar.length;
  if (similar.length) button.replaceChildren(`+${number(similar.length)} similar`, unseen(" to picture "), build("span", { className: "visually-hidden rank" }));
}

/** Have the hits *similar* shown after *leader*, under which they were folded, from now on. Twice is as once. */
export function unfold(leader, similar) {
  const { ids, hits: before } = unfoldedOf(leader);
  const anew = similar.filter((hit) => !ids.includes(hit.image_id));
  unfolded.set(leader.image_id, { ids: [...ids, ...leader.similar], hits: [...before, ...anew] });
}

const unfoldedOf = ({ image_id: imageId }) => unfolded.get(imageId) ?? { ids: [], hits: [] };

function withUnfolded(answered) {
  const shownIds = new Set(answered.map((hit) => hit.image_id));
  return answered.flatMap((leader) => {
    const { ids, hits: unfoldedHits } = unfoldedOf(leader);
    const beside = unfoldedHits.filter((hit) => !shownIds.has(hit.image_id));
    for (const hit of beside) shownIds.add(hit.image_id);
    return [{ ...leader, similar: (leader.similar ?? []).filter((imageId) => !ids.includes(imageId)) }, ...beside];
  });
}

/** Say how well a picture matches, in words; of a model that cannot say so, nothing. */
export function showMatch(place, { match }) {
  place.textContent = MATCHES[match] ?? "";
  place.hidden = !MATCHES[match];
  place.dataset.match = match ?? "";
}

function newCard(hit, rank) {
  const card = template.cloneNode(true);
  const [width, height] = sizeOf(hit);
  card.dataset.image = hit.image_id;
  card.style.setProperty("--ratio", Math.min(WIDEST, Math.max(NARROWEST, width / height)));
  const picture = pictureOf(hit, rank > EAGER);
  if (rank <= EAGER) first[rank - 1] = Promise.resolve(picture.decode?.()).catch(() => {});
  card.querySelector(".open").append(picture);
  showCredit(card.querySelector(".credit"), hit);
  card.querySelector(".caption").append(licenceOf(hit) ?? "");
  bringUpToDate(card, hit, rank);
  cards.set(hit.image_id, card);
  return card;
}

/** Width and height in pixels; a common shape when the answer lacks them. */
const sizeOf = ({ width, height }) => (width > 0 && height > 0 ? [width, height] : [640, 427]);

/** Say that, with a link to the picture where there is one to follow. */
function showCredit(link, hit) {
  const { page_url: pageUrl, own } = hit;
  link.querySelector("bdi").textContent = creditOf(hit);
  link.classList.toggle("own", Boolean(own));
  const url = safeUrl(pageUrl, apiBase());
  if (url) link.href = url;
  else link.replaceWith(build("span", { className: "credit" }, ...link.childNodes));
}

/** The name of the licence of a picture, a link where its source says where that is written; null for none. */
export function licenceOf({ credit }) {
  if (!credit?.licence) return null;
  const url = safeUrl(credit.licence_url, apiBase());
  const name = build("bdi", { textContent: credit.licence });
  return url ? build("a", { href: url, className: "credit", target: "_blank", rel: "noopener" }, name) : build("span", { className: "credit" }, name);
}

/** The picture, or words in its place when it cannot be had; *isBelow*: it is asked for after the first ones. */
export function pictureOf(hit, isBelow = false) {
  const [width, height] = sizeOf(hit);
  const alt = altOf(hit);
  const image = build("img", { alt, width, height, loading: isBelow ? "lazy" : "eager", decoding: "async" });
  const url = safeUrl(hit.url, apiBase());
  image.addEventListener("load", () => image.classList.add("loaded"));
  image.addEventListener("error", () => image.replaceWith(missing(alt)));
  if (!url) return missing(alt);
  const ask = () => { image.src = url; };
  if (isBelow) below.push(ask);
  else ask();
  return image;
}

function missing(alt) {
  return build("span", { className: "missing" }, unseen(alt), "Picture not available");
}
