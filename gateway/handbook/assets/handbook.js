"use strict";
// The search of the first page: hides what does not hold every word. Accents and capitals do not matter.

const plain = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();

const field = document.getElementById("search");
if (field) {
  const items = [...document.querySelectorAll("[data-search]")].map((element) => ({
    element,
    text: plain(element.dataset.search),
  }));
  const sections = [...document.querySelectorAll("main section")];
  const found = document.getElementById("found");

  const search = () => {
    const words = plain(field.value).split(/\s+/).filter(Boolean);
    let count = 0;
    for (const { element, text } of items) {
      element.hidden = !words.every((word) => text.includes(word));
      count += element.hidden ? 0 : 1;
    }
    for (const section of sections) {
      section.hidden = !section.querySelector("[data-search]:not([hidden])");
    }
    found.textContent = words.length === 0 ? "" : count === 0 ? found.dataset.none : `${count} ${found.dataset.some}`;
    history.replaceState(null, "", words.length === 0 ? location.pathname : `#q=${encodeURIComponent(field.value)}`);
  };

  field.addEventListener("input", search);
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && document.activeElement !== field) {
      event.preventDefault();
      field.focus();
    }
  });
  // Also when a link to a search is followed on this very page, which then is not loaded anew.
  const follow = () => {
    const asked = /^#q=(.+)$/.exec(location.hash);
    if (asked) {
      field.value = decodeURIComponent(asked[1]);
      search();
    }
  };
  window.addEventListener("hashchange", follow);
  follow();
}
