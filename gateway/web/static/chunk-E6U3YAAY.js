function o(e){for(let t of e.querySelectorAll("button[data-early]"))t.disabled=!1}export{o as a};
