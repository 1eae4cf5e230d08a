// npm run bench. The measurements that DESIGN section 9 lists have not been written yet, and nothing here may look as if.
process.stderr.write('There are no benches yet: they come with a later change, and docs/BENCH.md with them.\n')
process.exitCode = 1
