import { books } from './checks/books.ts'
import { oneEach } from './checks/containers.ts'
import { acknowledged } from './checks/creates.ts'
import { deletedByNobody, deletes } from './checks/deletes.ts'
import { generations } from './checks/generations.ts'
import { machine } from './checks/machine.ts'
import { marksKept } from './checks/marks.ts'
import { profilesKept } from './checks/profiles.ts'
import { settled } from './checks/settled.ts'
import { stops } from './checks/stops.ts'
import { told, unprovoked } from './checks/told.ts'
import { reasons, walks } from './checks/walks.ts'
import type { Evidence } from './evidence.ts'
import type { Violation } from './violation.ts'

/** Compares everything with everything, on a lab where nothing is under way any more. */
export const check = (evidence: Evidence): Violation[] =>
  [
    oneEach,
    books,
    generations,
    deletes,
    deletedByNobody,
    stops,
    profilesKept,
    marksKept,
    acknowledged,
    walks,
    reasons,
    settled,
    told,
    unprovoked,
    machine,
  ].flatMap(look => look(evidence))
