import{a as e}from"./chunk-OMGU6GMU.js";var t=class extends HTMLElement{connectedCallback(){e(this),this.addEventListener("change",()=>e(this))}};customElements.define("device-form",t);
