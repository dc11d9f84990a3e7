import{a as e}from"./chunk-BHBXB6A5.js";var t=class extends HTMLElement{connectedCallback(){e(this),this.addEventListener("change",()=>e(this))}};customElements.define("device-form",t);
