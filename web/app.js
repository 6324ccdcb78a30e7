/**
 * The search page: asks the query function what the form or the address says, and shows the answer.
 *
 * The markup lives in index.html and the looks in style.css; config.json names the API and says
 * whether this is the demo. Every text of the server enters the page as text.
 */

import { loadConfig, onKey } from "./api.js";
import { shownHits } from "./cards.js";
import { loadCollections } from "./collections.js";
import { offerCollections, setUpExamples } from "./examples.js";
import { listenToFilters } from "./filters.js";
import { choosePicture, complain, fillForm, listenToForm, setPlaces } from "./form.js";
import { listenToKeys } from "./keys.js";
import { followAddress, listenToLightbox } from "./lightbox.js";
import { keepPlace, notePlace } from "./place.js";
import { listenToRecent, remember } from "./recent.js";
import { drop, run, showSimilar, stop } from "./run.js";
import { pictureNamed } from "./pictures.js";
import { addressOf, addressSearch, canBeAsked } from "./search.js";
import { showIdle, showLostPicture } from "./view.js";

let readSearch; // the address of what is shown, or on its way

/** Show what the address says. */
function readAddress({ moveFocus = false } = {}) {
  const search = addressSearch();
  readSearch = addressOf(search);
  if (!canBeAsked(search)) return showLanding(search);
  if (search.picture && !pictureNamed(search.picture)) return askForPicture(search);
  const { y = 0, count = 0 } = history.state ?? {};
  run(search, { moveFocus, count, onShown: () => { scrollTo(0, y); followAddress(); } });
}

function showLanding(search) {
  drop();
  showIdle();
  scrollTo(0, history.state?.y ?? 0);
  if (search.t) complain(search); // half a search: say what lacks
}

/** An address cannot hold a picture: who comes by it must bring the picture. */
function askForPicture(search) {
  drop();
  showLostPicture(search, choosePicture);
}

/** Go to *address* of this page, as a link does. */
function goTo(address) {
  notePlace(); // of the address that is being left
  if (address !== location.search) history.pushState(null, "", address || location.pathname);
  scrollTo(0, 0);
  if (canBeAsked(addressSearch())) remember(addressSearch());
  fillForm();
  readAddress({ moveFocus: true });
}

const go = (search) => goTo(addressOf(search));

function unfold(event) {
  const card = event.target.closest(".similar") && event.target.closest(".card");
  const leader = card && shownHits().find((hit) => hit.image_id === card.dataset.image);
  if (leader) showSimilar(addressSearch(), leader);
}

/** The history moved: to another search, or to and from a picture of this one. */
function followHistory() {
  if (readSearch === addressOf(addressSearch())) return followAddress();
  fillForm();
  readAddress();
}

async function showCollections() {
  const collections = await loadCollections();
  setPlaces(collections);
  offerCollections(collections);
}

const isPlainClick = (event) => event.button === 0 && !(event.metaKey || event.ctrlKey || event.shiftKey || event.altKey);

/** Links that stay on this page change the address without loading the page again. */
function followInside(event) {
  const anchor = event.target.closest("#home, a.inside");
  if (!anchor || !isPlainClick(event)) return;
  event.preventDefault();
  goTo(new URL(anchor.href).search);
}

keepPlace();
const filledFrom = location.search;
fillForm(); // once: a person may write in it before the settings are there
const config = await loadConfig();
if (location.search !== filledFrom) fillForm(); // or go back
listenToForm(go);
listenToFilters(go);
listenToLightbox();
listenToRecent();
listenToKeys();
document.getElementById("stop").addEventListener("click", stop);
document.addEventListener("click", followInside);
document.addEventListener("click", unfold);
addEventListener("popstate", followHistory);
readAddress(); // first: that is what a person waits for
setUpExamples(config);
onKey(showCollections);
showCollections();
