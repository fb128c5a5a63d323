internal import CYaml

/// What libyaml tells of a text, piece by piece.
struct Event {
    enum Kind {
        /// Plain: it stands without quotes.
        case scalar(String, isPlain: Bool)
        case sequence
        case mapping
        /// Of the sequence or mapping that is open.
        case end
        case alias(String)
        case document
        case documentEnd
        case streamEnd
        /// What says nothing about values.
        case other
    }

    let kind: Kind
    var anchor: String?
    /// In its long form, as `tag:yaml.org,2002:str`.
    var tag: String?
    let place: Place
}

/// The events of a text, in order.
///
/// Owns a parser of libyaml and the bytes that it reads: it keeps addresses of both, so neither
/// may move.
@safe struct Events: ~Copyable {
    private let parser: UnsafeMutablePointer<yaml_parser_t>
    private let bytes: UnsafeMutableBufferPointer<UInt8>

    init(_ text: [UInt8]) throws(JobFile.Mistake) {
        let parser = UnsafeMutablePointer<yaml_parser_t>.allocate(capacity: 1)
        guard unsafe yaml_parser_initialize(parser) == 1 else {
            unsafe parser.deallocate()
            throw JobFile.Mistake(.start, "there is no memory for it")
        }
        unsafe self.parser = unsafe parser
        let bytes = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: text.count)
        _ = unsafe bytes.initialize(from: text)
        unsafe self.bytes = unsafe bytes
        unsafe yaml_parser_set_input_string(parser, bytes.baseAddress, bytes.count)
    }

    deinit {
        unsafe yaml_parser_delete(parser)
        unsafe parser.deallocate()
        unsafe bytes.deallocate()
    }

    /// The next one. Not to be called again once it threw or has told of the end.
    mutating func next() throws(JobFile.Mistake) -> Event {
        var event = unsafe yaml_event_t()
        guard unsafe yaml_parser_parse(parser, &event) == 1 else { throw mistake }
        // The strings of an event are its own; all of them are copied.
        defer { unsafe yaml_event_delete(&event) }
        return unsafe Self.copy(event)
    }

    private static func copy(_ event: yaml_event_t) -> Event {
        let place = unsafe Place(event.start_mark)
        switch unsafe event.type {
        case YAML_SCALAR_EVENT:
            let scalar = unsafe event.data.scalar
            let text = unsafe UnsafeBufferPointer(start: scalar.value, count: scalar.length)
            return unsafe Event(
                kind: .scalar(
                    String(decoding: text, as: UTF8.self),
                    isPlain: scalar.style == YAML_PLAIN_SCALAR_STYLE),
                anchor: string(scalar.anchor), tag: string(scalar.tag), place: place)
        case YAML_SEQUENCE_START_EVENT:
            let start = unsafe event.data.sequence_start
            return unsafe Event(
                kind: .sequence, anchor: string(start.anchor), tag: string(start.tag), place: place)
        case YAML_MAPPING_START_EVENT:
            let start = unsafe event.data.mapping_start
            return unsafe Event(
                kind: .mapping, anchor: string(start.anchor), tag: string(start.tag), place: place)
        case YAML_SEQUENCE_END_EVENT, YAML_MAPPING_END_EVENT:
            return Event(kind: .end, place: place)
        case YAML_ALIAS_EVENT:
            let name = unsafe string(event.data.alias.anchor) ?? ""
            return Event(kind: .alias(name), place: place)
        case YAML_DOCUMENT_START_EVENT: return Event(kind: .document, place: place)
        case YAML_DOCUMENT_END_EVENT: return Event(kind: .documentEnd, place: place)
        case YAML_STREAM_END_EVENT: return Event(kind: .streamEnd, place: place)
        default: return Event(kind: .other, place: place)
        }
    }

    private static func string(_ text: UnsafeMutablePointer<yaml_char_t>?) -> String? {
        guard let text = unsafe text else { return nil }
        return unsafe String(cString: text)
    }

    // MARK: Errors

    private var mistake: JobFile.Mistake {
        let problem = unsafe Self.words(parser.pointee.problem) ?? "it is no YAML"
        switch unsafe parser.pointee.error {
        case YAML_MEMORY_ERROR:
            return JobFile.Mistake(.start, "there is no memory for it")
        case YAML_READER_ERROR:
            let value = unsafe parser.pointee.problem_value
            let number = value < 0 ? "" : ": 0x" + String(value, radix: 16, uppercase: true)
            return unsafe JobFile.Mistake(
                place(of: parser.pointee.problem_offset), problem + number)
        default:
            var text = problem
            if let context = unsafe Self.words(parser.pointee.context) {
                let begin = unsafe Place(parser.pointee.context_mark)
                text += " \(context) from line \(begin.line), column \(begin.column)"
            }
            return unsafe JobFile.Mistake(Place(parser.pointee.problem_mark), text)
        }
    }

    private static func words(_ text: UnsafePointer<CChar>?) -> String? {
        guard let text = unsafe text else { return nil }
        return unsafe String(cString: text)
    }

    /// libyaml gives the errors of single bytes no line and column.
    private func place(of offset: Int) -> Place {
        let text = unsafe String(decoding: bytes.prefix(offset), as: UTF8.self)
        var place = Place.start
        var last: Unicode.Scalar?
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\n" where last == "\r": break
            case "\n", "\r", "\u{85}", "\u{2028}", "\u{2029}":
                place = Place(line: place.line + 1, column: 1)
            case "\u{FEFF}" where last == nil: break
            default: place.column += 1
            }
            last = scalar
        }
        return place
    }
}

extension Place {
    fileprivate init(_ mark: yaml_mark_t) {
        self.init(line: Int(clamping: mark.line) + 1, column: Int(clamping: mark.column) + 1)
    }
}
