"use strict";
// What is wider than its box scrolls inside it: such a box can be reached with the Tab key, and a fading edge says that there is more.

(() => {
  const chinese = document.documentElement.lang.startsWith("zh");
  const kinds = [
    [".cell_output pre", "Output, scrolls sideways", "输出，可左右滚动"],
    ["pre", "Code, scrolls sideways", "代码，可左右滚动"],
    [".math", "Equation, scrolls sideways", "公式，可左右滚动"],
    [".picture", "Figure, scrolls sideways", "图，可左右滚动"],
    [".table-wrapper, .cell_output .text_html", "Table, scrolls sideways", "表格，可左右滚动"],
  ];

  function mark(box, name) {
    const scrolls = box.scrollWidth > box.clientWidth + 1;
    box.classList.toggle("more", scrolls && box.scrollLeft + box.clientWidth < box.scrollWidth - 1);
    if (scrolls === box.hasAttribute("tabindex")) return;
    for (const [key, value] of [["tabindex", "0"], ["role", "group"], ["aria-label", name]]) {
      if (scrolls) box.setAttribute(key, value);
      else box.removeAttribute(key);
    }
  }

  document.addEventListener("DOMContentLoaded", () => {
    const names = new Map();
    const watcher = new ResizeObserver((changes) => {
      for (const { target } of changes) {
        if (names.has(target)) mark(target, names.get(target));
        for (const equation of target.querySelectorAll("span.math")) {
          const set = equation.querySelector("mjx-math");
          equation.classList.toggle("long", set !== null && set.getBoundingClientRect().width > target.clientWidth);
          mark(equation, names.get(equation));
        }
      }
    });
    for (const [boxes, english, inChinese] of kinds) {
      for (const box of document.querySelectorAll(boxes)) {
        if (names.has(box) || !box.closest("article")) continue;
        names.set(box, chinese ? inChinese : english);
        watcher.observe(box.matches("span") ? box.closest("p, li, td, dd, article") : box); // a line has no size
        box.addEventListener("scroll", () => mark(box, names.get(box)), { passive: true });
      }
    }
  });
})();
