"""poke_scale.py FILE.gguf NAME BLOCK: makes a scale of one block of a tensor infinite (the values themselves in float
types); prints the type of the tensor. Reads the header of a GGUF v3 file by itself."""
import struct, sys

# ggml type: (name, values a block, bytes a block, where a scale is, its bytes)
TYPES = {0: ('F32', 1, 4, 0, b'\0\0\x80\x7f'), 1: ('F16', 1, 2, 0, b'\0\x7c'), 30: ('BF16', 1, 2, 0, b'\x80\x7f'),
         2: ('Q4_0', 32, 18, 0, b'\0\x7c'), 3: ('Q4_1', 32, 20, 2, b'\0\x7c'), 6: ('Q5_0', 32, 22, 0, b'\0\x7c'),
         7: ('Q5_1', 32, 24, 2, b'\0\x7c'), 8: ('Q8_0', 32, 34, 0, b'\0\x7c'), 10: ('Q2_K', 256, 84, 82, b'\0\x7c'),
         11: ('Q3_K', 256, 110, 108, b'\0\x7c'), 12: ('Q4_K', 256, 144, 0, b'\0\xfc'), 13: ('Q5_K', 256, 176, 2, b'\0\x7c'),
         14: ('Q6_K', 256, 210, 208, b'\x01\x7e'), 20: ('IQ4_NL', 32, 18, 0, b'\0\x7c'), 23: ('IQ4_XS', 256, 136, 0, b'\0\x7c'),
         39: ('MXFP4', 32, 17, 0, b'\xff')}
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}

path, wanted, block = sys.argv[1], sys.argv[2], int(sys.argv[3])
data = bytearray(open(path, 'rb').read())
at = 24
n_tensor, n_kv = struct.unpack_from('<QQ', data, 8)


def u32():
    global at
    at += 4
    return struct.unpack_from('<I', data, at - 4)[0]


def u64():
    global at
    at += 8
    return struct.unpack_from('<Q', data, at - 8)[0]


def text():
    global at
    n = u64()
    at += n
    return bytes(data[at - n:at]).decode()


def skip(kind):
    global at
    if kind == 8: text()
    elif kind == 9:
        inner, n = u32(), u64()
        for _ in range(n): skip(inner)
    else: at += SIZES[kind]


align = 32
for _ in range(n_kv):
    key, kind = text(), u32()
    if key == 'general.alignment': align = struct.unpack_from('<I', data, at)[0]
    skip(kind)
found = None
for _ in range(n_tensor):
    name = text()
    shape = [u64() for _ in range(u32())]
    kind, offset = u32(), u64()
    if name == wanted: found = kind, offset
kind, offset = found
name, _, size, scale, value = TYPES[kind]
start = (at + align - 1) // align * align + offset + block * size + scale
data[start:start + len(value)] = value
open(path, 'wb').write(data)
print(name)
