// SPDX-License-Identifier: Apache-2.0
import { HANDLER, RECORD } from '../interpreter/record.ts';
import { describeForm } from '../interpreter/forms.ts';
import type { Form } from '../interpreter/forms.ts';
import type { FormPlace } from '../interpreter/module.ts';
import type { Operation } from '../operations/operation.ts';

/** From records back to forms and their descriptions. */
export class FormIndex {
  private readonly hot: (Form | undefined)[] = [];
  private readonly cold: (Form | undefined)[] = [];
  private readonly operations = new Map<Form, Operation>();

  constructor(places: ReadonlyMap<string, FormPlace>) {
    for (const { form, handler, cold } of places.values()) {
      if (cold >= 0) this.cold[cold] = form;
      else this.hot[handler] = form;
    }
  }

  /** The form of a record; undefined for what is none (HANDLER). */
  formOf(words: Int32Array, record: number): Form | undefined {
    const handler = words[(record + RECORD.handler) >> 2];
    return handler === HANDLER.cold ? this.cold[words[(record + RECORD.extra) >> 2]] : this.hot[handler];
  }

  operation(form: Form): Operation {
    let operation = this.operations.get(form);
    if (operation === undefined) this.operations.set(form, (operation = describeForm(form)));
    return operation;
  }
}
