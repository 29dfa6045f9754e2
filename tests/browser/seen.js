// SPDX-License-Identifier: Apache-2.0
// What a reader with this browser meets: an object, which test_pages.py judges.
(() => {
  const root = document.documentElement;
  const where = (element) => {
    const text = element.textContent.trim().replace(/\s+/g, " ").slice(0, 50);
    return `${element.tagName.toLowerCase()}.${element.className}: ${text}`;
  };
  const rgba = (words) => {
    const [r, g, b, a = 1] = words.match(/[\d.]+/g).map(Number);
    return [r, g, b, a];
  };
  const over = (top, below) =>
    [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const background = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      const colour = rgba(getComputedStyle(at).backgroundColor);
      if (colour[3] > 0) layers.unshift(colour);
    }
    return layers.reduce((below, top) => over(top, below), [255, 255, 255, 1]);
  };
  // WCAG 2.2, relative luminance and contrast ratio.
  const luminance = (colour) => {
    const [r, g, b] = colour.map((part) => {
      const share = part / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (element) => {
    const below = background(element);
    const colour = over(rgba(getComputedStyle(element).color), below);
    const [light, dark] = [luminance(colour), luminance(below)].sort((a, b) => b - a);
    return (light + 0.05) / (dark + 0.05);
  };
  // Whether an element stands in one that can be moved sideways by itself, as a block of code.
  const scrolls = (element) => {
    for (let at = element; at !== root; at = at.parentElement) {
      if (/auto|scroll/.test(getComputedStyle(at).overflowX)) return true;
    }
    return false;
  };
  const faint = {};
  let texts = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || /^(SCRIPT|STYLE|TITLE|SYMBOL)$/i.test(element.tagName)) continue;
    if (!element.checkVisibility({ visibilityProperty: true, opacityProperty: true })) continue;
    texts += 1;
    const ratio = contrast(element);
    if (ratio < 4.5) faint[where(element)] = Math.round(ratio * 100) / 100;
  }
  const tables = [...document.querySelectorAll("article table.docutils")].map((table) => {
    const holder = table.parentElement;
    const last = table.querySelector("tbody tr")?.lastElementChild;
    return {
      what: where(table),
      columns: table.querySelector("tr").children.length,
      overflow: holder.scrollWidth - holder.clientWidth,
      last: last ? last.getBoundingClientRect().width : 0,
    };
  });
  return {
    overflow: root.scrollWidth - root.clientWidth,
    wide: [...document.querySelectorAll("article *")]
      .filter((element) => element.getBoundingClientRect().right > root.clientWidth + 1)
      .filter((element) => !scrolls(element))
      .map(where)
      .slice(0, 5),
    faint,
    texts,
    tables,
  };
})()
