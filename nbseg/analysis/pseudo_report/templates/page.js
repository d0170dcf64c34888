// The address selects what the page shows: #worst opens a tab, #worst-3 opens the tab's third image.
// On a page without tabs, the images of a section belong together.
const dialog = document.querySelector("dialog");
const panels = [...document.querySelectorAll(".panel")];
let tile = null;

function openTab(panel) {
  for (const other of panels) other.hidden = other !== panel;
  for (const tab of document.querySelectorAll("[role=tab]"))
    tab.setAttribute("aria-selected", tab.hash === `#${panel.id}`);
}

function enlarge(chosen) {
  tile = chosen;
  const tiles = [...tile.parentElement.children];
  const tab = document.querySelector("[role=tab][aria-selected=true]");
  const title = tab ?? tile.closest("section").querySelector("h2");
  dialog.querySelector(".place").textContent = `${title.textContent}: ${tiles.indexOf(tile) + 1} of ${tiles.length}`;
  dialog.querySelector(".enlarged").replaceChildren(...tile.cloneNode(true).children);
  if (!dialog.open) dialog.showModal();
}

function go(step) {
  const tiles = [...tile.parentElement.children];
  const next = tiles[(tiles.indexOf(tile) + step + tiles.length) % tiles.length];
  history.replaceState(null, "", `#${next.id}`);
  enlarge(next);
}

function follow() {
  const target = document.getElementById(location.hash.slice(1));
  const panel = target?.closest(".panel");
  if (panel) openTab(panel);
  if (target?.matches(".tile")) enlarge(target);
}

dialog.addEventListener("close", () => {
  history.replaceState(null, "", `#${tile.closest(".panel, section").id}`);
  tile.focus({ preventScroll: true });
});
dialog.addEventListener("click", (event) => {
  if (event.target.matches(".previous")) go(-1);
  else if (event.target.matches(".next")) go(1);
  else if (!event.target.matches("img")) dialog.close();
});
dialog.addEventListener("keydown", (event) => {
  if (event.key === "ArrowLeft") go(-1);
  if (event.key === "ArrowRight") go(1);
});
addEventListener("hashchange", follow);
openTab(panels[0]);
follow();
