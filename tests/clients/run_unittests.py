# SPDX-License-Identifier: Apache-2.0
"""Run a client's own tests with the client's own interpreter; knows nothing of pytest.

Standard input: ``{"modules": {module: substring of test ids, "" for all}, "skip": [test ids]}``.
Last line of standard output: ``{"ran": n, "problems": {test id: traceback}, "unknown": [ids]}``,
where unknown are those of ``skip`` that do not exist.
"""

import json
import sys
import unittest


def tests_of(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from tests_of(item)
        else:
            yield item


task = json.load(sys.stdin)
skip = set(task["skip"])
chosen, found = unittest.TestSuite(), set()
for module, part in task["modules"].items():
    for test in tests_of(unittest.defaultTestLoader.loadTestsFromName(module)):
        found.add(test.id())
        if part in test.id() and test.id() not in skip:
            chosen.addTest(test)

result = unittest.TestResult()
chosen.run(result)
problems = {test.id(): text for test, text in result.errors + result.failures}
problems |= {test.id(): "passed unexpectedly" for test in result.unexpectedSuccesses}
report = {"ran": result.testsRun, "problems": problems, "unknown": list(skip - found)}
sys.stdout.write("\n" + json.dumps(report))
