import '../src/system/pc.ts'
