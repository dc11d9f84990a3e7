// <device-form>: the settings of a device, of which only those are shown that the choices made have a use for.

import { fit } from "../fit";

class DeviceForm extends HTMLElement {
  connectedCallback(): void {
    fit(this);
    this.addEventListener("change", () => fit(this));
  }
}

customElements.define("device-form", DeviceForm);
