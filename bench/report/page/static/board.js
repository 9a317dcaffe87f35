"use strict";
// Hides rows. Ranks and tiers stay those of the whole board: they are not computed again.

const size = document.getElementById("size"), shown = document.getElementById("shown");
const Tables = window.distillbenchTables.default ?? window.distillbenchTables.DataTable;
const small = (row) => size.value === "" || row.dataset.parameters === undefined || Number(row.dataset.parameters) < Number(size.value);

Tables.ext.search.push((settings, data, index) => small(settings.aoData[index].nTr));

function sift() {
  const tables = Tables.tables({ api: true });
  tables.draw();
  const entries = tables.rows().nodes().toArray().filter((row) => row.classList.contains("method") && row.dataset.parameters !== undefined);
  shown.textContent = size.value === "" ? "" : `${entries.filter(small).length} of ${entries.length} entries; ranks and tiers are those of all`;
}

size.addEventListener("change", sift);
document.getElementById("sizes").addEventListener("submit", (event) => event.preventDefault());
document.getElementById("sizes").hidden = false;
sift();
